-- The end of a rebuild: a whole new incarnation, written aside, becomes the partition in one step.
-- KEYS: head, the new tables, the keys of the old incarnation.
-- ARGV: expected old incarnation, new incarnation, position, version, milliseconds, term, log,
--       seconds that the old keys live on, count of tables, then the expected size of each table.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local head = redis.call('HMGET', KEYS[1], 'incarnation', 'term', 'log')
if head[3] == ARGV[7] and tonumber(head[2] or '0') > tonumber(ARGV[6]) then
  return {'FENCED', head[2]}
end
if (head[1] or '') ~= ARGV[1] then return {'RETRY', head[1] or ''} end
local tables = tonumber(ARGV[9])
for i = 1, tables do
  if redis.call('HLEN', KEYS[1 + i]) ~= tonumber(ARGV[9 + i]) then
    return {'RETRY', 'what was written aside is not whole'}
  end
end
for i = 1, tables do redis.call('PERSIST', KEYS[1 + i]) end
for i = 2 + tables, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[8]) end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'incarnation', ARGV[2], 'position', ARGV[3], 'version', ARGV[4],
  'at', ARGV[5], 'term', ARGV[6], 'log', ARGV[7])
return {'FLIPPED', ARGV[4]}
