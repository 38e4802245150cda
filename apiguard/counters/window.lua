-- Judges one request against all limits of one principal, all or nothing.
-- The algorithm, its bounds and their proof: merged_log.py, which comes to the same;
-- change both. Times are integer microseconds, exact in a double.
--
-- KEYS  one per limit, all in one cluster slot
-- ARGV  the limits, packed (see LIMIT), one after the other; cost; commit ('1' or
--       '0'); now, where the server's clock shall not count
-- reply flat integers: now, allowed; per limit: used, wait (0: it fits), reset (-1: nothing used)
--
-- A key holds a window's log (LOG, then an ENTRY per entry, oldest first) or a
-- quota (QUOTA). What cannot be read as that is empty, and is overwritten. Texts
-- are cut and joined, and not unpacked: most decisions touch two entries of 33.

local B = 32
local MAX_ENTRIES = 2 * B
local DAY = 86400000000
-- Kept a little longer than it matters: the server's expiry runs on milliseconds.
local SLACK_MS = 5000

local LIMIT, LIMIT_SIZE = '<BI4I8B', 14 -- kind, amount, period, shadow
local WINDOW, PER_DAY = 0, 1 -- kinds; a calendar month is 2
local LOG, LOG_SIZE, LOG_MARK = '<BI7I4', 12, 76 -- mark, start of the newest entry, used
local ENTRY, ENTRY_SIZE = '<I7I4', 11 -- last, count
local LOG_AND_FIRST = '<BI7I4I7I4' -- the two, one behind the other
local QUOTA, QUOTA_SIZE, QUOTA_MARK = '<BI7I4', 12, 81 -- mark, begin, used

local call, pack, unpack_from, floor = redis.call, struct.pack, struct.unpack, math.floor

local params, cost, commit = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local now = tonumber(ARGV[4])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- The whole log, earlier by the step of a clock that was set back.
local function shifted(raw, step)
  local _, start, used = unpack_from(LOG, raw)
  local parts = {pack(LOG, LOG_MARK, math.max(0, start - step), used)}
  for at = LOG_SIZE + 1, #raw, ENTRY_SIZE do
    local last, count = unpack_from(ENTRY, raw, at)
    parts[#parts + 1] = pack(ENTRY, math.max(0, last - step), count)
  end
  return table.concat(parts)
end

-- A window at now: its log, where the first entry that still counts begins in it
-- (behind its end: none does), what it holds, when that entry was last added to,
-- when the newest one began, and whether the log was shifted.
local function settled(raw, period)
  local size = #raw
  if size <= LOG_SIZE or size > LOG_SIZE + MAX_ENTRIES * ENTRY_SIZE
    or (size - LOG_SIZE) % ENTRY_SIZE ~= 0 or raw:byte() ~= LOG_MARK then
    return '', 1, 0
  end
  local _, start, used, last, count = unpack_from(LOG_AND_FIRST, raw)
  local newest, moved = last, false
  if size > LOG_SIZE + ENTRY_SIZE then newest = unpack_from('<I7', raw, size - ENTRY_SIZE + 1) end
  if newest > now then
    raw, newest, moved = shifted(raw, newest - now), now, true
    _, start, used, last, count = unpack_from(LOG_AND_FIRST, raw)
  end
  local horizon = now - period
  if newest <= horizon then return '', 1, 0 end
  local at = LOG_SIZE + 1
  while last <= horizon do
    used, at = used - count, at + ENTRY_SIZE
    last, count = unpack_from(ENTRY, raw, at)
  end
  return raw, at, math.max(0, used), last, start, moved
end

-- Until the entries that are in the way of `missing` units have left the window.
local function window_wait(raw, at, period, missing)
  for i = at, #raw, ENTRY_SIZE do
    local last, count = unpack_from(ENTRY, raw, i)
    missing = missing - count
    if missing <= 0 then return math.max(1, last + period - now) end
  end
  return period
end

-- The log with `cost` more, in its newest entry or in one more; and whether that
-- entry is the only one.
local function added(raw, at, used, start, amount, period)
  local entries = (#raw - at + 1) / ENTRY_SIZE
  if entries == 0 then return pack(LOG_AND_FIRST, LOG_MARK, now, used, now, cost), true end
  local is_merged = amount > B and now - start <= floor(period / B)
  if not (is_merged or entries >= MAX_ENTRIES) then
    return pack(LOG, LOG_MARK, now, used) .. raw:sub(at) .. pack(ENTRY, now, cost)
  end
  local newest = #raw - ENTRY_SIZE
  local _, count = unpack_from(ENTRY, raw, newest + 1)
  count = count + cost
  if entries == 1 then return pack(LOG_AND_FIRST, LOG_MARK, start, used, now, count), true end
  return pack(LOG, LOG_MARK, start, used) .. raw:sub(at, newest) .. pack(ENTRY, now, count)
end

-- The UTC day or month of now. Month by the proleptic Gregorian calendar, years
-- running from March (H. Hinnant, "chrono-compatible low-level date algorithms").
local function calendar_bounds(kind)
  local days = floor(now / DAY)
  if kind == PER_DAY then return days * DAY, (days + 1) * DAY end
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local before = floor((153 * mp + 2) / 5)
  local length = floor((153 * mp + 155) / 5) - before
  if mp == 11 then
    local year = yoe + era * 400 + 1
    length = (year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)) and 29 or 28
  end
  local first = days - (doy - before)
  return first * DAY, (first + length) * DAY
end

-- First judge all, then count all: neither knows of the other limits. What would
-- be written is made on the way. The tables have room for some three limits: they
-- grow by being made anew.
local raws = call('MGET', unpack(KEYS))
local reply = {now, 1, nil, nil, nil, nil, nil, nil, nil, nil, nil}
local counted, kept = {nil, nil, nil}, nil -- texts, if it is admitted and at all events
local lefts, resets = {nil, nil, nil}, nil -- until the limit is as good as new; from now on
for i = 1, #KEYS do
  local kind, amount, period, shadow = unpack_from(LIMIT, params, LIMIT_SIZE * (i - 1) + 1)
  local raw, used, wait, reset, alone = raws[i] or '', 0, 0, -1, false
  if kind == WINDOW then
    local at, last, start, moved
    raw, at, used, last, start, moved = settled(raw, period)
    if last then reset = last + period - now end
    if used + cost > amount then
      wait = window_wait(raw, at, period, used + cost - amount)
    else
      counted[i], alone = added(raw, at, used + cost, start, amount, period)
    end
    if moved then
      kept = kept or {}
      kept[i] = pack(LOG, LOG_MARK, start, used) .. raw:sub(at)
    end
    lefts[i] = period
  else
    local from, to = calendar_bounds(kind)
    lefts[i] = to - now
    if #raw == QUOTA_SIZE and raw:byte() == QUOTA_MARK then
      local _, begin, held = unpack_from(QUOTA, raw)
      -- A period that lies in the future is the current one, seen by a clock
      -- that has since stepped back.
      if begin >= from then used = held end
      if begin > from then
        kept = kept or {}
        kept[i] = pack(QUOTA, QUOTA_MARK, from, used)
      end
    end
    if used > 0 then reset = lefts[i] end
    if used + cost > amount then
      wait = lefts[i]
    else
      counted[i], alone = pack(QUOTA, QUOTA_MARK, from, used + cost), used + cost > 0
    end
  end
  if alone then
    resets = resets or {}
    resets[i] = lefts[i]
  end
  if wait > 0 and shadow == 0 then reply[2] = 0 end
  local place = 3 * i
  reply[place], reply[place + 1], reply[place + 2] = used, wait, reset
end
if not commit then return reply end

for i = 1, #KEYS do
  -- A shift is kept even when the request is refused, else the log would not
  -- age until the clock has caught up.
  local raw = reply[2] == 1 and counted[i]
  if raw then
    reply[3 * i] = reply[3 * i] + cost
    if resets and resets[i] then reply[3 * i + 2] = resets[i] end
  else
    raw = kept and kept[i]
  end
  if raw then call('SET', KEYS[i], raw, 'PX', math.ceil(lefts[i] / 1000) + SLACK_MS) end
end
return reply
