-- Judges one request against all limits of one principal, all or nothing.
-- The algorithm, its bounds and their proof: merged_log.py, which comes to the same;
-- change both. Times are integer microseconds, exact in a double.
--
-- KEYS  one per limit, all in one cluster slot
-- ARGV  1 the limits, packed (see LIMIT), one after the other
--       2 cost; 0: nothing is counted, which is for giving back alone
--       3 commit: '1', or '2' where the cost is owed and counted whether it fits or not; '0': no
--       4 units to reserve besides the cost, 0: none; 5 how far ahead of now, in microseconds
--       6 what is given back of all these limits, packed (see GIVE_BACK), one after the other
--       7 the costs of each limit, packed (see COST), where they are not all the same
--       8 now, where the server's clock shall not count
-- reply one text of integers: now, allowed, units reserved, whether reserved units may return
--       soon; per limit: used (without what is reserved here), wait (0: it fits), reset (0:
--       nothing used). Every client reads that, whether it decodes replies or not.
--
-- A key holds a window's log (LOG, then an ENTRY per entry, oldest first), a quota
-- (QUOTA), or the ends of requests in flight (SLOTS, then an END each; slots.py). What cannot be read as that is empty, and is overwritten. Texts
-- are cut and joined, and not unpacked: most decisions touch two entries of 33.
-- Either says until when the server keeps it: setting an expiry costs more than
-- writing does, so one that lasts long enough is left as it is.

local B = 32
local MAX_ENTRIES = 2 * B
local DAY = 86400000000
local AHEAD = 2000000 -- how far ahead of now units may be reserved
local LEAST_LEASED, LEASED_SHARE, RETURN_TIME = 256, 16, 1000000
-- Kept a little longer than it matters: the server's expiry runs on milliseconds, and the
-- newest entry may lie AHEAD.
local SLACK = 5000000

local LIMIT, LIMIT_SIZE = '<BI4I8B', 14 -- kind, amount, period, shadow
local WINDOW, PER_DAY, CONCURRENT = 0, 1, 3 -- kinds; a calendar month is 2
local COST = '<I4'
-- Mark; kept until; when the newest entry began (behind its end: a reset takes effect at its
-- end); used. Of a quota: mark of its calendar; until when its leases last; since when it
-- counts (RESET added to the mark: until when, a reset takes effect then); used.
local HEAD, HEAD_SIZE = '<BI7I7I4', 19
local LOG_MARK, DAY_MARK, MONTH_MARK, RESET = 76, 68, 77, 32
local ENTRY, ENTRY_SIZE = '<I7I4', 11 -- last, count
local SLOTS_MARK, END, END_SIZE = 'S', '<I7', 7
local SLOT_WAIT, MOST_USED = 1000000, 4000000000
local GIVE_BACK, GIVE_BACK_SIZE = '<I8i8I4', 20 -- place, age, units
local HEAD_AND_FIRST = '<BI7I7I4I7I4' -- the two, one behind the other
-- Not tostring, which keeps 14 digits.
local REPLY, REPLY_PER_LIMIT = '%.0f %.0f %.0f %.0f', ' %.0f %.0f %.0f'

local call, pack, unpack_from, floor = redis.call, struct.pack, struct.unpack, math.floor

local params, cost_of_all, commit = ARGV[1], tonumber(ARGV[2]), ARGV[3] ~= '0'
local is_owed, costs = ARGV[3] == '2', ARGV[7]
local wanted, ahead, given_back = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local now = tonumber(ARGV[8])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- A window at now: its log, where the first entry that still counts begins in it
-- (behind its end: none does), what it holds, when the first one that is not empty was last
-- added to, when the newest one began, until when it is kept, whether it was shifted, and in
-- how long it starts over, if it was reset.
local function settled(raw, period)
  local entries = (#raw - HEAD_SIZE) / ENTRY_SIZE
  if entries < 1 or entries > MAX_ENTRIES or entries % 1 ~= 0 then return '', 1, 0 end
  local mark, kept, start, used, last, count = unpack_from(HEAD_AND_FIRST, raw)
  if mark ~= LOG_MARK then return '', 1, 0 end
  local newest, moved = last, false
  if entries > 1 then newest = unpack_from('<I7', raw, #raw - ENTRY_SIZE + 1) end
  if newest > now + AHEAD then -- A clock was set back: the whole log is earlier by that step.
    local step, shifted = newest - now - AHEAD, {}
    start = math.max(0, start - step)
    for at = HEAD_SIZE + 1, #raw, ENTRY_SIZE do
      last, count = unpack_from(ENTRY, raw, at)
      shifted[#shifted + 1] = pack(ENTRY, math.max(0, last - step), count)
    end
    raw = pack(HEAD, LOG_MARK, kept, start, used) .. table.concat(shifted)
    last, count = unpack_from(ENTRY, raw, HEAD_SIZE + 1)
    newest, moved = now + AHEAD, true
  end
  local horizon = now - period
  if newest <= horizon then return '', 1, 0 end
  if start > newest and newest <= now then -- A reset has taken effect; see merged_log.py.
    raw = pack(HEAD_AND_FIRST, LOG_MARK, kept, 0, 0, newest, 0)
    return raw, HEAD_SIZE + 1, 0, newest, 0, kept, true
  end
  local at = HEAD_SIZE + 1
  while last <= horizon do
    used, at = used - count, at + ENTRY_SIZE
    last, count = unpack_from(ENTRY, raw, at)
  end
  if used < 0 then used = 0 end
  local from = at
  while count == 0 and from + ENTRY_SIZE < #raw do
    from = from + ENTRY_SIZE
    last, count = unpack_from(ENTRY, raw, from)
  end
  return raw, at, used, last, start, kept, moved, start > newest and newest - now or nil
end

-- The log with `units` more at a moment, in its newest entry or in one more; and when its
-- first entry that is not empty was last added to, if that changed.
local function added(raw, at, used, start, kept, amount, period, moment, units)
  local entries = (#raw - at + 1) / ENTRY_SIZE
  if entries == 0 then
    return pack(HEAD_AND_FIRST, LOG_MARK, kept, moment, used, moment, units), moment
  end
  local newest = #raw - ENTRY_SIZE
  local last, count = unpack_from(ENTRY, raw, newest + 1)
  local is_merged = amount > B and moment - start <= floor(period / B) or start > last
  if moment > last then last = moment end
  if not (is_merged or entries >= MAX_ENTRIES) then
    return pack(HEAD, LOG_MARK, kept, moment, used) .. raw:sub(at) .. pack(ENTRY, last, units),
      used == units and last or nil
  end
  if entries == 1 then
    return pack(HEAD_AND_FIRST, LOG_MARK, kept, start, used, last, count + units), last
  end
  return pack(HEAD, LOG_MARK, kept, start, used)
    .. raw:sub(at, newest) .. pack(ENTRY, last, count + units), count + units == used and last or nil
end

-- The log without what is given back of it: where its first entry begins, what it holds,
-- when the first one that is not empty was last added to, when the newest one began, and
-- whether anything changed.
local function returned(raw, at, used, last, start, kept, period)
  local lasts, counts, before = {}, {}, used
  for from = at, #raw, ENTRY_SIZE do
    lasts[#lasts + 1], counts[#counts + 1] = unpack_from(ENTRY, raw, from)
  end
  local is_reset, first = counts[1] == 0, nil
  for from = 1, #given_back, GIVE_BACK_SIZE do
    local place, age, units = unpack_from(GIVE_BACK, given_back, from)
    place = math.min(place, now - age)
    local i = 1
    while lasts[i] and (lasts[i] < place or counts[i] == 0) do i = i + 1 end
    if place <= now - period or not lasts[i] or is_reset and place <= lasts[1] then i = 0 end
    while i > 0 and units > 0 do
      local part = math.min(units, counts[i])
      counts[i], units, used, i = counts[i] - part, units - part, used - part, i - 1
    end
  end
  if used == before then return raw, at, used, last, start, false end
  -- The newest entry also stays where it is empty and says, by its start, that the log starts over.
  local is_kept = counts[#counts] > 0 or start > lasts[#lasts]
  if not is_kept then start = 0 end
  local left = {pack(HEAD, LOG_MARK, kept, start, math.max(0, used))}
  for i = 1, #lasts do
    if counts[i] > 0 then first = first or lasts[i] end
    if counts[i] > 0 or i == 1 and is_reset or i == #lasts and is_kept then
      left[#left + 1] = pack(ENTRY, lasts[i], counts[i])
    end
  end
  if not left[2] then return '', 1, 0, nil, 0, true end
  return table.concat(left), HEAD_SIZE + 1, math.max(0, used), first or last, start, true
end

-- The ends of requests that are in flight now, and whether they must be kept at all events.
local function in_flight(raw, period)
  if raw:sub(1, 1) ~= SLOTS_MARK or (#raw - 1) % END_SIZE ~= 0 then return '', false end
  local ends, latest, changed = raw:sub(2), now + period, false
  local at = 1
  while at < #ends and unpack_from(END, ends, at) <= now do at = at + END_SIZE end
  ends = ends:sub(at)
  at = #ends + 1
  while at > 1 and unpack_from(END, ends, at - END_SIZE) > latest do at = at - END_SIZE end
  if at <= #ends then -- A clock was set back.
    ends, changed = ends:sub(1, at - 1) .. pack(END, latest):rep((#ends - at + 1) / END_SIZE), true
  end
  for from = 1, #given_back, GIVE_BACK_SIZE do
    local place, _, units = unpack_from(GIVE_BACK, given_back, from)
    local slot, found = pack(END, math.max(0, place + period)), 1
    while units > 0 and found do
      found = ends:find(slot, found, true)
      if found and found % END_SIZE == 1 then
        ends, units, changed = ends:sub(1, found - 1) .. ends:sub(found + END_SIZE), units - 1, true
      elseif found then
        found = found + 1
      end
    end
  end
  return ends, changed
end

-- First judge all, then count all: neither knows of the other limits. What would
-- be written is made on the way. The tables have room for some three limits: they
-- grow by being made anew.
local raws = call('MGET', unpack(KEYS))
local reply = {now, 1, 0, 0, nil, nil, nil, nil, nil, nil, nil, nil, nil}
local least_left, may_reserve = wanted * LEASED_SHARE, commit and cost_of_all > 0 and costs == ''
local is_large, may_return = true, false
local counted, resets = {nil, nil, nil}, {nil, nil, nil} -- texts and resets, if it is admitted
local shifts -- texts at all events
local paid = {nil, nil, nil} -- the cost at each limit
local expiries = {nil, nil, nil} -- moments, where the server shall keep a key until another one
for i = 1, #KEYS do
  local kind, amount, period, shadow = unpack_from(LIMIT, params, LIMIT_SIZE * (i - 1) + 1)
  local raw, used, wait, reset = raws[i] or '', 0, 0, 0
  local cost = costs == '' and cost_of_all or unpack_from(COST, costs, 4 * i - 3)
  if amount < LEAST_LEASED then is_large = false end
  if kind == WINDOW then
    local at, last, start, kept, moved, zero_in
    raw, at, used, last, start, kept, moved, zero_in = settled(raw, period)
    if last and given_back ~= '' then
      local changed
      raw, at, used, last, start, changed = returned(raw, at, used, last, start, kept, period)
      moved = moved or changed
    end
    if used > 0 then reset = last + period - now end
    if zero_in then may_reserve, reset = false, math.min(reset, zero_in) end
    -- Whatever is merged into an entry that begins now must not need another expiry,
    -- and an entry that begins later is the next to set one.
    if not kept or moved or kept < now + period or kept > now + 2 * period then
      kept = now + period + floor(period / B)
      expiries[i] = kept
    end
    if is_owed then cost = math.min(cost, MOST_USED - used) end
    if used + cost > amount and not is_owed then
      -- Until the entries that are in the way have left the window.
      local missing = used + cost - amount
      wait = period
      for i = at, #raw, ENTRY_SIZE do
        local last, count = unpack_from(ENTRY, raw, i)
        missing = missing - count
        if missing <= 0 then
          wait = math.max(1, last + period - now)
          if zero_in then wait = math.min(wait, zero_in) end
          break
        end
      end
      local newest = raw ~= '' and unpack_from('<I7', raw, #raw - ENTRY_SIZE + 1) or 0
      may_return = may_return or newest > now - RETURN_TIME
    elseif cost > 0 then
      local text, first = added(raw, at, used + cost, start, kept, amount, period, now, cost)
      counted[i], resets[i] = text, first and math.min(first + period - now, zero_in or period * 2)
    end
    if moved then
      shifts = shifts or {}
      shifts[i] = pack(HEAD, LOG_MARK, kept, start, used) .. raw:sub(at)
    end
  elseif kind == CONCURRENT then
    local ends, changed = in_flight(raw, period)
    used, may_reserve = #ends / END_SIZE, false
    if changed then
      shifts = shifts or {}
      shifts[i] = SLOTS_MARK .. ends
      expiries[i] = ends == '' and now or unpack_from(END, ends, #ends - END_SIZE + 1)
    end
    if used + cost > amount and not is_owed then
      wait, may_return = SLOT_WAIT, true
    elseif cost > 0 then
      counted[i], expiries[i] = SLOTS_MARK .. ends .. pack(END, now + period):rep(cost), now + period
    end
  else
    -- Every run makes its functions anew; most have no use for this one.
    -- The UTC day or month that holds a moment. Month by the proleptic Gregorian calendar, years
    -- running from March (H. Hinnant, "chrono-compatible low-level date algorithms").
    local function calendar_bounds(moment)
      local days = floor(moment / DAY)
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

    local own, moved = kind == PER_DAY and DAY_MARK or MONTH_MARK, false
    local mark, till, begin, held
    if #raw == HEAD_SIZE then mark, till, begin, held = unpack_from(HEAD, raw) end
    local starts_over = mark == DAY_MARK + RESET or mark == MONTH_MARK + RESET
    if not (starts_over or mark == DAY_MARK or mark == MONTH_MARK) then
      till, begin, held = 0, 0, 0
    end
    if starts_over then
      if begin > now + AHEAD then begin, moved = now + AHEAD, true end
      if begin <= now then starts_over, moved, held = false, true, 0 end
    end
    local stepped_back = now < begin and begin <= now + DAY
    local from, to = calendar_bounds(stepped_back and begin or now)
    if mark ~= own and mark ~= own + RESET or begin < from or begin >= to then expiries[i] = to end
    if begin >= from then used = held end
    if begin < from or begin >= to then begin, moved = from, moved or begin >= to end
    local before = used
    for at = 1, #given_back, GIVE_BACK_SIZE do
      local place, _, units = unpack_from(GIVE_BACK, given_back, at)
      if begin < place and place < to then used = math.max(0, used - units) end
    end
    local mark_then = starts_over and own + RESET or own
    if moved or used < before then
      shifts = shifts or {}
      shifts[i] = pack(HEAD, mark_then, till, begin, used)
    end
    local zero_at = starts_over and begin or to
    if used > 0 then reset = zero_at - now end
    if is_owed then cost = math.min(cost, MOST_USED - used) end
    if used + cost > amount and not is_owed then
      -- A quota does not hold when it was used.
      wait, may_return = (cost > amount and to or zero_at) - now, true
    elseif cost > 0 then
      counted[i] = pack(HEAD, mark_then, math.max(till, now), begin, used + cost)
      resets[i] = zero_at - now
    end
    if starts_over or now < from or now + ahead >= to then may_reserve = false end
  end
  if wait > 0 and shadow == 0 then reply[2] = 0 end
  least_left, paid[i] = math.min(least_left, amount - used - cost), cost
  local place = 3 * i + 2
  reply[place], reply[place + 1], reply[place + 2] = used, wait, reset
end

-- Units for the process to use by itself, at the end of the time in which it may.
local units = reply[2] == 1 and is_large and may_reserve and floor(least_left / LEASED_SHARE) or 0
if units > 0 then
  reply[3] = units
  for i = 1, #KEYS do
    local kind, amount, period = unpack_from(LIMIT, params, LIMIT_SIZE * (i - 1) + 1)
    local mark, kept, start, used = unpack_from(HEAD, counted[i])
    if kind == WINDOW then
      local text, first = added(
        counted[i], HEAD_SIZE + 1, used + units, start, kept, amount, period, now + ahead, units
      )
      counted[i], resets[i] = text, first and first + period - now or resets[i]
    else
      counted[i] = pack(HEAD, mark, math.max(kept, now + ahead), start, used + units)
    end
  end
end
for i = 1, #KEYS do
  -- A shift is kept even when the request is refused, else the log would not
  -- age until the clock has caught up.
  local raw = reply[2] == 1 and counted[i]
  if raw then
    reply[3 * i + 2] = reply[3 * i + 2] + paid[i]
    if resets[i] then reply[3 * i + 4] = resets[i] end
  else
    raw = shifts and shifts[i]
  end
  if raw and commit then
    if expiries[i] then
      call('SET', KEYS[i], raw, 'PX', math.ceil((expiries[i] - now + SLACK) / 1000))
    else
      call('SET', KEYS[i], raw, 'KEEPTTL')
    end
  end
end
if reply[2] == 0 and may_return and is_large then reply[4] = 1 end
return string.format(REPLY .. REPLY_PER_LIMIT:rep(#KEYS), unpack(reply))
