-- wrk -s post.lua URL -- BODY_FILE HEADER_FILE: POSTs one body again and again; prints one line of JSON at the end.
function init(args)
   wrk.method = "POST"
   local file = assert(io.open(args[1], "rb"))
   wrk.body = file:read("*a")
   file:close()
   for line in io.lines(args[2]) do
      local name, value = line:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "status": %d, "transport": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
      errors.connect + errors.read + errors.write + errors.timeout
   ))
end
