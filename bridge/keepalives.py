"""How soon either end of a connection to the database finds out that the other is gone: the kernel's two hours are too long."""

# Of libpq: a socket whose other end acknowledges nothing for 10 s is given up.
CLIENT = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10000,
}
# The same of the server: what this end gave up while no packet came through would go on taking one of its max_connections.
SERVER = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000"
