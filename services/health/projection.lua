-- One step of a partition's projection: all of it or nothing, and only on the state that is expected.
-- KEYS: head, the tables in the order of their numbers, feed.
-- ARGV: incarnation, expected position, new position, milliseconds, term, log, feed's length,
--       then for each change: number of the table (1..4), its name, key, value (empty: removed).
local head = redis.pcall('HMGET', KEYS[1], 'incarnation', 'position', 'version', 'term', 'log')
if head.err then return {'BROKEN', head.err} end
if head[5] == ARGV[6] and tonumber(head[4] or '0') > tonumber(ARGV[5]) then
  return {'FENCED', head[4]}
end
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] then
  return {'REWIND', head[1] or '', head[2] or ''}
end
local version, feed = tonumber(head[3]), KEYS[#KEYS]
if not version then return {'BROKEN', 'the head has no version'} end
for i = 8, #ARGV, 4 do
  local hash, name, key, value = KEYS[1 + tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local done
  if value == '' then
    done = redis.pcall('HDEL', hash, key)
  else
    done = redis.pcall('HSET', hash, key, value)
  end
  if type(done) == 'table' and done.err then return {'BROKEN', done.err} end
  version = version + 1
  done = redis.pcall('XADD', feed, 'MAXLEN', '~', ARGV[7], string.format('%.0f-0', version),
    'table', name, 'key', key, 'value', value)
  if type(done) == 'table' and done.err then return {'BROKEN', done.err} end
end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'version', string.format('%.0f', version),
  'at', ARGV[4], 'term', ARGV[5], 'log', ARGV[6])
return {'APPLIED', string.format('%.0f', version)}
