-- Judges one request against all limits of one principal, all or nothing.
-- The algorithm, its bounds and their proof: merged_log.py, line by line the
-- same; change both. Times are integer microseconds, exact in a double.
--
-- KEYS  one per limit, all in one cluster slot
-- ARGV  now ('' for the server's clock), cost, commit ('1' or '0'); then per
--       limit: kind ('window', 'day' or 'month'), amount, period (us), shadow
-- reply flat integers: now, allowed; per limit: fits, used, wait, reset (-1: nothing used)
--
-- A key holds MessagePack: {start, used} for a quota, in seconds; for a window
-- {newest entry's length, last1, count1, last2 - last1, count2, ...}. What
-- cannot be read as that is an empty tally, and is overwritten.

local B = 32
local MAX_ENTRIES = 2 * B
local DAY = 86400
local EXACT = 9007199254740992
-- Kept a little longer than it matters: the server's expiry runs on milliseconds.
local SLACK_MS = 5000

local function read(key)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' or #raw > 4096 then return nil end
  local ok, state = pcall(cmsgpack.unpack, raw)
  if not ok or type(state) ~= 'table' then return nil end
  if #state < 2 or #state > 2 * MAX_ENTRIES + 1 then return nil end
  for i = 1, #state do
    local value = state[i]
    -- NaN is caught by the last comparison.
    if type(value) ~= 'number' or value < 0 or value > EXACT or value % 1 ~= 0 then
      return nil
    end
  end
  return state
end

local function write(key, state, expires, now)
  local ttl = math.max(0, math.ceil((expires - now) / 1000)) + SLACK_MS
  redis.call('SET', key, cmsgpack.pack(state), 'PX', ttl)
end

-- Window ---------------------------------------------------------------------

local function window_open(limit, now)
  local log = {last = {}, count = {}, head = 1, size = 0, start = 0, used = 0, moved = false}
  local state = read(limit.key)
  if state and #state % 2 == 1 then
    local moment = 0
    for i = 2, #state, 2 do
      log.size = log.size + 1
      moment = moment + state[i]
      log.last[log.size] = moment
      log.count[log.size] = state[i + 1]
    end
    log.start = moment - state[1]
    if moment > now then
      local step = moment - now
      for i = 1, log.size do log.last[i] = log.last[i] - step end
      log.start = log.start - step
      log.moved = true
    end
    local horizon = now - limit.period
    while log.head <= log.size and log.last[log.head] <= horizon do log.head = log.head + 1 end
    for i = log.head, log.size do log.used = log.used + log.count[i] end
  end
  return log
end

local function window_wait(limit, log, now, cost)
  local missing = log.used + cost - limit.amount
  if missing <= 0 then return 0 end
  for i = log.head, log.size do
    missing = missing - log.count[i]
    if missing <= 0 then return log.last[i] + limit.period - now end
  end
  return limit.period
end

local function window_add(limit, log, now, cost)
  local entries = log.size - log.head + 1
  local near = limit.amount > B and now - log.start <= math.floor(limit.period / B)
  if entries > 0 and (near or entries >= MAX_ENTRIES) then
    log.last[log.size] = now
    log.count[log.size] = log.count[log.size] + cost
  else
    log.size = log.size + 1
    log.last[log.size] = now
    log.count[log.size] = cost
    log.start = now
  end
  log.used = log.used + cost
end

local function window_reset(limit, log, now)
  if log.head > log.size then return -1 end
  return log.last[log.head] + limit.period - now
end

local function window_write(limit, log, now)
  local newest = log.last[log.size]
  local state = {newest - log.start}
  local before = 0
  for i = log.head, log.size do
    state[#state + 1] = log.last[i] - before
    state[#state + 1] = log.count[i]
    before = log.last[i]
  end
  write(limit.key, state, newest + limit.period, now)
end

-- Quota ----------------------------------------------------------------------

-- The day of the month (from 1) and the length of the month of a count of days
-- since 1970-01-01, in the proleptic Gregorian calendar; years run from March.
local function month_of(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor(
    (doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local length = ({31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28})[mp + 1]
  if mp == 11 then
    local year = yoe + era * 400 + 1
    if year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) then length = 29 end
  end
  return day, length
end

local function quota_open(limit, now)
  local days = math.floor(now / (DAY * 1000000))
  local first, length = days, 1
  if limit.kind == 'month' then
    local day
    day, length = month_of(days)
    first = days - day + 1
  end
  local quota = {start = first * DAY, finish = (first + length) * DAY * 1000000, used = 0}
  local state = read(limit.key)
  -- A period that lies in the future is the current one, seen by a clock that
  -- has since stepped back.
  if state and #state == 2 and state[1] >= quota.start then
    quota.used = state[2]
    quota.moved = state[1] > quota.start
  end
  return quota
end

local function quota_wait(limit, quota, now, cost)
  if quota.used + cost <= limit.amount then return 0 end
  return quota.finish - now
end

local function quota_add(_, quota, _, cost)
  quota.used = quota.used + cost
end

local function quota_reset(_, quota, now)
  if quota.used == 0 then return -1 end
  return quota.finish - now
end

local function quota_write(limit, quota, now)
  write(limit.key, {quota.start, quota.used}, quota.finish, now)
end

-- Decision -------------------------------------------------------------------

local WINDOW = {
  open = window_open, wait = window_wait, add = window_add,
  reset = window_reset, write = window_write,
}
local QUOTA = {
  open = quota_open, wait = quota_wait, add = quota_add,
  reset = quota_reset, write = quota_write,
}

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local cost = tonumber(ARGV[2])
local commit = ARGV[3] == '1'

local limits = {}
local allowed = true
for i = 1, #KEYS do
  local at = 4 * i
  local limit = {
    key = KEYS[i], kind = ARGV[at], amount = tonumber(ARGV[at + 1]),
    period = tonumber(ARGV[at + 2]), shadow = ARGV[at + 3] == '1',
  }
  limit.of = limit.kind == 'window' and WINDOW or QUOTA
  limit.tally = limit.of.open(limit, now)
  limit.wait = limit.of.wait(limit, limit.tally, now, cost)
  if limit.wait > 0 and not limit.shadow then allowed = false end
  limits[i] = limit
end

local reply = {now, allowed and 1 or 0}
for _, limit in ipairs(limits) do
  local of, tally = limit.of, limit.tally
  local counts = allowed and limit.wait == 0
  if commit and counts then of.add(limit, tally, now, cost) end
  -- A shift is kept even when the request is refused, else the log would not
  -- age until the clock has caught up.
  if commit and (counts or tally.moved) then of.write(limit, tally, now) end
  reply[#reply + 1] = limit.wait == 0 and 1 or 0
  reply[#reply + 1] = tally.used
  reply[#reply + 1] = limit.wait
  reply[#reply + 1] = of.reset(limit, tally, now)
end
return reply
