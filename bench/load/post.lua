-- wrk -s post.lua URL -- BODY_FILE HEADER_FILE: POSTs one body repeatedly, with a new UUID in place of $UUID; prints one line of
-- JSON at the end.
function init(args)
   wrk.method = "POST"
   local file = assert(io.open(args[1], "rb"))
   wrk.body = file:read("*a")
   file:close()
   for line in io.lines(args[2]) do
      local name, value = line:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
   end
   local first, last = wrk.body:find("$UUID", 1, true)
   if first then
      local before, after = wrk.body:sub(1, first - 1), wrk.body:sub(last + 1)
      -- Decimal digits only: what looks like a number with an exponent takes the longer way.
      local run, number = os.time() % 100000000, 0
      request = function()
         number = number + 1
         return wrk.format(nil, nil, nil, before .. string.format("%08d-0000-4000-8000-%012d", run, number) .. after)
      end
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
