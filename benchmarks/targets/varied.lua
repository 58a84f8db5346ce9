-- Every request differs from the one before it: path and request id.
local count = 0
function request()
  count = count + 1
  wrk.headers["X-Request-Id"] = string.format("7f8c9e0a-1b2c-4d3e-9f40-%012x", count)
  return wrk.format("GET", "/api/items/" .. count)
end
