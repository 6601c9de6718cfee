-- Moves messages between the keys of a queue.
--
-- No other command runs between the steps of a function.
-- A queue is a stream with one consumer group; an entry is delivered to one consumer, once. A message that is put back becomes
-- a new entry, marked as redelivered, and the old entry is removed: a late settlement of the old one finds nothing to settle.
-- A stage's queue has a high queue beside it, a stream of its own.
-- All times are the server's. Keys are made from queue names, which rules out a cluster of servers.
--
-- Arguments: the name of a function, its arguments as msgpack, and for `send` the messages.

local GROUP = 'workers'

local function stream(queue) return 'mousetrap:queue:' .. queue end
local function delayed(queue) return 'mousetrap:queue:' .. queue .. ':delayed' end
local function alive(consumer) return 'mousetrap:consumer:' .. consumer end

local CLOCK = 'mousetrap:clock'

local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Milliseconds of a clock that does not run backwards, as run_store's Lua describes it, and the server's own.
local function clock()
  local at = math.floor(microseconds() / 1000)
  local is_text, value = pcall(redis.call, 'GET', CLOCK)
  local seen_text, ahead_text = string.match(is_text and value or '', '^(%d+) (%d+)$')
  local seen, ahead = tonumber(seen_text or 0), tonumber(ahead_text or 0)
  if seen > at then return math.min(seen + ahead, at + 86400000), at end
  return at + math.floor(math.max(0, ahead - (at - seen) / 10)), at
end

local function note_clock()
  local now, at = clock()
  redis.call('SET', CLOCK, string.format('%d %d', at, now - at), 'PX', 172800000)
end

-- More fields of an entry, for one whose priority is not the default.
local function of_priority(priority)
  if priority then return 'priority', priority end
end

local function exists(queue) return redis.call('EXISTS', stream(queue)) == 1 end

local function add(queue, id, body, headers, ...)
  redis.call('XADD', stream(queue), '*', 'id', id, 'body', body, 'headers', headers, ...)
end

-- In slices, because a call takes no more than some thousands of arguments.
local function remove(queue, entries)
  for first = 1, #entries, 1000 do
    local last = math.min(first + 999, #entries)
    redis.call('XACK', stream(queue), GROUP, unpack(entries, first, last))
    redis.call('XDEL', stream(queue), unpack(entries, first, last))
  end
end

-- The memory of a stream in bytes, estimated from a few of its nodes; once a call, in which `send` adds its messages.
local sizes = {}
local function size_of(queue)
  sizes[queue] = sizes[queue] or redis.call('MEMORY', 'USAGE', stream(queue), 'SAMPLES', 10) or 0
  return sizes[queue]
end

local function put_back(queue, entry)
  local found = redis.call('XRANGE', stream(queue), entry, entry)[1]
  if redis.call('XACK', stream(queue), GROUP, entry) == 0 or not found then return end
  local fields = {}
  for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
  add(queue, fields.id or '', fields.body or '', fields.headers or '', 'redelivered', '1', of_priority(fields.priority))
  redis.call('XDEL', stream(queue), entry)
end

-- The entry moves to the dead queue, with the reason that RabbitMQ gives.
local function reject(queue, entry)
  local found = redis.call('XRANGE', stream(queue), entry, entry)[1]
  if redis.call('XACK', stream(queue), GROUP, entry) == 0 or not found then return end
  local fields = {}
  for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
  local readable, headers = pcall(cjson.decode, fields.headers or '')
  if not readable or type(headers) ~= 'table' then headers = {} end
  headers['mousetrap-reason'] = 'rejected'
  add(string.gsub(queue, '%.high%-priority$', '') .. '.dead', fields.id or '', fields.body or '', cjson.encode(headers))
  redis.call('XDEL', stream(queue), entry)
end

-- By the time in its key: the key itself outlives that where the server's clock was set back. Older versions write no time.
local function is_alive(consumer)
  local till = redis.call('GET', alive(consumer))
  return till and (till == '' or tonumber(till) > clock())
end

local function keep_alive(consumer, lifetime)
  note_clock()
  redis.call('SET', alive(consumer), string.format('%d', clock() + lifetime), 'PX', lifetime)
end

local function consumers(queue)
  local found = {}
  for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream(queue), GROUP)) do
    local consumer = {}
    for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
    consumer.alive = is_alive(consumer.name)
    table.insert(found, consumer)
  end
  return found
end

-- Puts back the entries of expired consumers.
local function sweep(queues)
  for _, queue in ipairs(queues) do
    for _, consumer in ipairs(exists(queue) and consumers(queue) or {}) do
      if not consumer.alive then
        for _, held in ipairs(redis.call('XPENDING', stream(queue), GROUP, '-', '+', consumer.pending + 1, consumer.name)) do
          put_back(queue, held[1])
        end
        redis.call('XGROUP', 'DELCONSUMER', stream(queue), GROUP, consumer.name)
      end
    end
  end
end

local functions = {}

function functions.declare(queues)
  for _, queue in ipairs(queues) do
    local made = redis.pcall('XGROUP', 'CREATE', stream(queue), GROUP, '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
  end
end

-- Settles and publishes. A message is two arguments: its description as msgpack, and its body.
-- Returns the refused messages in pairs of place and reason.
function functions.send(acknowledged, handed_back, rejected)
  for queue, entries in pairs(acknowledged) do remove(queue, entries) end
  for queue, entries in pairs(handed_back) do
    for _, entry in ipairs(entries) do put_back(queue, entry) end
  end
  for queue, entries in pairs(rejected) do
    for _, entry in ipairs(entries) do reject(queue, entry) end
  end
  local waiting, now, moment, refused = {}, clock(), microseconds(), {}
  for place = 3, #ARGV, 2 do
    local queue, limit, most_bytes, after, id, headers, priority = unpack(cmsgpack.unpack(ARGV[place]))
    local body = ARGV[place + 1]
    if waiting[queue] == nil then
      waiting[queue] = exists(queue) and redis.call('XLEN', stream(queue)) - redis.call('XPENDING', stream(queue), GROUP)[1]
    end
    if not waiting[queue] then
      table.insert(refused, (place - 3) / 2)
      table.insert(refused, 'unroutable')
    elseif after > 0 then
      -- The time and the place in the batch make equal messages different members.
      redis.call('ZADD', delayed(queue), now + 1 + after, cmsgpack.pack({ moment, place, id, body, headers, priority }))
    elseif limit > 0 and waiting[queue] >= limit then
      table.insert(refused, (place - 3) / 2)
      table.insert(refused, 'length')
    elseif most_bytes > 0 and size_of(queue) >= most_bytes then
      table.insert(refused, (place - 3) / 2)
      table.insert(refused, 'bytes')
    else
      add(queue, id, body, headers, of_priority(priority))
      waiting[queue] = waiting[queue] + 1
      if sizes[queue] then sizes[queue] = sizes[queue] + #body end
    end
  end
  return refused
end

-- Moves the delayed messages that are due into their queues, at most `limit` into each. Returns the most that one of them got,
-- and how many entries the first has.
function functions.release(queues, limit)
  local now, most = clock(), 0
  for _, queue in ipairs(queues) do
    local due = redis.call('ZRANGE', delayed(queue), '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
    for _, packed in ipairs(due) do
      local message = cmsgpack.unpack(packed)
      add(queue, message[3], message[4], message[5], of_priority(message[6]))
    end
    if #due > 0 then redis.call('ZREMRANGEBYRANK', delayed(queue), 0, #due - 1) end
    most = math.max(most, #due)
  end
  return { most, redis.call('XLEN', stream(queues[1])) }
end

local function ready(queue)
  if not exists(queue) then return 0 end
  local held = 0
  for _, consumer in ipairs(consumers(queue)) do
    if consumer.alive then held = held + consumer.pending end
  end
  local due = redis.call('ZCOUNT', delayed(queue), '-inf', (clock()))
  return redis.call('XLEN', stream(queue)) + due - held
end

-- Of a queue and those beside it; -1 where the first is missing.
function functions.ready(queues)
  if not exists(queues[1]) then return -1 end
  local total = 0
  for _, queue in ipairs(queues) do total = total + ready(queue) end
  return total
end

local function last_delivered(queue)
  local group = redis.call('XINFO', 'GROUPS', stream(queue))[1]
  for i = 1, #group, 2 do
    if group[i] == 'last-delivered-id' then return group[i + 1] end
  end
end

-- When the first waiting message began to wait, in milliseconds: an entry's id is the time at which it was added. 0 where none
-- waits, or only entries of expired consumers. And how many consumers there are.
local function since(queue)
  if not exists(queue) then return { 0, 0 } end
  local alive_now = 0
  for _, consumer in ipairs(consumers(queue)) do
    if consumer.alive then alive_now = alive_now + 1 end
  end
  local first = redis.call('XRANGE', stream(queue), '(' .. last_delivered(queue), '+', 'COUNT', 1)[1]
  local due = redis.call('ZRANGE', delayed(queue), '-inf', (clock()), 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  local times = { due[2] and tonumber(due[2]), first and tonumber(string.match(first[1], '^%d+')) }
  return { math.min(times[1] or times[2] or 0, times[2] or times[1] or 0), alive_now }
end

-- Of a queue and those beside it, which have the same consumers.
function functions.since(queues)
  local earliest, most = 0, 0
  for _, queue in ipairs(queues) do
    local at, consumers_of = unpack(since(queue))
    if at > 0 and (earliest == 0 or at < earliest) then earliest = at end
    most = math.max(most, consumers_of)
  end
  return { earliest, most }
end

-- Differs when messages come or go: adding one changes the last id, removing one changes the length.
function functions.mark(queue)
  if not exists(queue) then return { -1, '' } end
  local info = redis.call('XINFO', 'STREAM', stream(queue))
  local facts = {}
  for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
  return { facts.length, facts['last-generated-id'] }
end

-- A consumer is alive as long as its key, which it renews.
function functions.join(consumer, lifetime, former, queues)
  redis.call('DEL', alive(former))
  keep_alive(consumer, lifetime)
  sweep(queues)
end

function functions.renew(consumer, lifetime, queues)
  local alive_before = is_alive(consumer)
  if alive_before then keep_alive(consumer, lifetime) end
  sweep(queues)
  return alive_before and 1 or 0
end

function functions.leave(consumer, queues)
  redis.call('DEL', alive(consumer))
  sweep(queues)
end

return functions[ARGV[1]](unpack(cmsgpack.unpack(ARGV[2])))
