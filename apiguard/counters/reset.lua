-- Counts limits of one principal from zero, when what processes have reserved has ended.
-- The rule is merged_log.py's; what stands in a key is window.lua's.
--
-- KEYS  one per limit, all in one cluster slot
-- ARGV  1 now, where the server's clock shall not count
-- reply the microseconds until all of them count from zero

local AHEAD = 2000000
local HEAD, HEAD_SIZE = '<BI7I7I4', 19
local ENTRY_SIZE = 11
local LOG_MARK, DAY_MARK, RESET = 76, 68, 32

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local raws = redis.call('MGET', unpack(KEYS))
local wait = 0
for i = 1, #KEYS do
  local raw = raws[i] or ''
  local text
  if #raw >= HEAD_SIZE then
    local mark, till, begin, used = struct.unpack(HEAD, raw)
    if mark == LOG_MARK and #raw > HEAD_SIZE then
      local newest = struct.unpack('<I7', raw, #raw - ENTRY_SIZE + 1)
      if newest <= now then
        text = struct.pack(HEAD, mark, till, 0, 0) .. struct.pack('<I7I4', newest, 0)
      else -- The newest entry begins behind its end: that says so.
        wait = math.max(wait, math.min(newest - now, AHEAD))
        text = struct.pack(HEAD, mark, till, newest + 1, used) .. raw:sub(HEAD_SIZE + 1)
      end
    elseif mark ~= LOG_MARK and #raw == HEAD_SIZE then
      if mark >= DAY_MARK + RESET then mark = mark - RESET end
      begin = math.max(now, math.min(till, now + AHEAD))
      if begin <= now then
        text = struct.pack(HEAD, mark, till, begin, 0)
      else
        wait = math.max(wait, begin - now)
        text = struct.pack(HEAD, mark + RESET, till, begin, used)
      end
    end
  end
  if text then
    redis.call('SET', KEYS[i], text, 'KEEPTTL')
  elseif raw ~= '' then
    -- An empty text that expires at once: no user of Redis needs another permission.
    redis.call('SET', KEYS[i], '', 'PX', 1)
  end
end
return string.format('%.0f', wait)
