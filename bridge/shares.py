"""How organizations share what there is a fixed number of: the rule of mqtt.fair_share in the database."""


def fair_share(level: int, free: int) -> bool:
    """Whether an organization may have so many, where so many stay free. Its first needs no more than to be there.

    So one organization has half at most, two have a third each, and the others always find some free.
    """
    return free >= 0 and level <= max(1, free)
