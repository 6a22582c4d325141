-- operations - what agent-wallet knows of a transaction, inside Redis. One script, ARGV[1] is the operation. States only go forward; whoever
-- looks at what is due takes it for a while (a lease by score), so that of several replicas one looks. No arguments are keys: the ACL judges each access.
--	mc:wallet:op:<id>	hash, FIELDS below
--	mc:wallet:built:<asset>	zset of ids that nobody has signed, by when they are forgotten
--	mc:wallet:sig:<signature> hash: id of the one operation whose transaction that is
--	mc:wallet:due		zset of ids that were sent and have not ended, by when to look next

local FIELDS = {'asset', 'wallet', 'slot', 'operation', 'state', 'built', 'last_valid', 'built_ms', 'sent', 'signature', 'sent_ms',
	'error', 'landed', 'least', 'most', 'differ', 'accepted'}
local RANK = {built = 0, sent = 1, confirmed = 2, finalized = 3, failed = 3, expired = 3}
local DUE = 'mc:wallet:due'

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function digits(n) return string.format('%.0f', n) end
local function key_of(id) return 'mc:wallet:op:' .. id end

-- -> id and the fields in their order, '' for what is not set; nil if there is none
local function row(id)
	local found = redis.call('HMGET', key_of(id), unpack(FIELDS))
	if not found[1] then return nil end
	local out = {id}
	for i = 1, #FIELDS do out[i + 1] = found[i] or '' end
	return out
end

local ops = {}

-- What was built and not signed. id asset wallet slot operation bytes last_valid ttl_ms max -> now
ops.put = function(id, asset, wallet, slot, operation, built, last_valid, ttl_ms, max)
	local all = 'mc:wallet:built:' .. asset
	-- the one write first that a full Redis refuses
	redis.call('HSET', key_of(id), 'asset', asset, 'wallet', wallet, 'slot', slot, 'operation', operation, 'state', 'built', 'built', built,
		'last_valid', last_valid, 'built_ms', digits(now))
	redis.call('PEXPIRE', key_of(id), ttl_ms)
	redis.call('ZREMRANGEBYSCORE', all, '-inf', digits(now))
	while redis.call('ZCARD', all) >= tonumber(max) do
		local oldest = redis.call('ZRANGE', all, 0, 0)[1]
		redis.call('ZREM', all, oldest)
		if redis.call('HGET', key_of(oldest), 'state') == 'built' then redis.call('DEL', key_of(oldest)) end
	end
	redis.call('ZADD', all, digits(now + tonumber(ttl_ms)), id)
	redis.call('PEXPIRE', all, ttl_ms)
	return {digits(now)}
end

-- id -> row, or nothing
ops.get = function(id) return row(id) or {} end

-- One signed version, kept before anything is sent. id asset wallet bytes signature keep_ms again_ms -> 'accepted' | 'same' | 'other' | 'twin' | 'unknown', row.
-- Two equal orders of one blockhash are one transaction, which lands once: the second is nobody's payment ('twin').
ops.accept = function(id, asset, wallet, sent, signature, keep_ms, again_ms)
	local r = row(id)
	if not r or r[2] ~= asset or r[3] ~= wallet then return {'unknown'} end
	if r[6] ~= 'built' then return {r[10] == sent and 'same' or 'other', unpack(r)} end
	local named = 'mc:wallet:sig:' .. signature
	local twin = redis.call('HGET', named, 'id')
	if twin and twin ~= id then return {'twin', unpack(r)} end
	redis.call('HSET', named, 'id', id)
	redis.call('PEXPIRE', named, keep_ms)
	redis.call('HSET', key_of(id), 'state', 'sent', 'sent', sent, 'signature', signature, 'sent_ms', digits(now))
	redis.call('PEXPIRE', key_of(id), keep_ms)
	redis.call('ZADD', DUE, digits(now + tonumber(again_ms)), id)
	redis.call('ZREM', 'mc:wallet:built:' .. asset, id)
	return {'accepted', unpack(row(id))}
end

-- Those whose time has come; for lease_ms they are this replica's. max lease_ms -> {row...}
ops.claim = function(max, lease_ms)
	local found = {}
	for _, id in ipairs(redis.call('ZRANGE', DUE, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, max)) do
		local r = row(id)
		if r and RANK[r[6]] < 3 then
			redis.call('ZADD', DUE, digits(now + tonumber(lease_ms)), id)
			found[#found + 1] = r
		else
			redis.call('ZREM', DUE, id)
		end
	end
	return found
end

-- What was learnt. Never back: what has ended stays as it ended. id state error landed least most differ accepted('1', or '' if not known) again_ms -> row
ops.note = function(id, state, err, landed, least, most, differ, accepted, again_ms)
	local r = row(id)
	if not r or r[6] == 'built' then return {} end
	if RANK[r[6]] == 3 or RANK[state] < RANK[r[6]] then
		if RANK[r[6]] == 3 then redis.call('ZREM', DUE, id) end
		return r
	end
	redis.call('HSET', key_of(id), 'state', state, 'error', err, 'landed', landed, 'least', least, 'most', most, 'differ', differ)
	if accepted == '1' then redis.call('HSET', key_of(id), 'accepted', '1') end
	if RANK[state] == 3 then
		redis.call('ZREM', DUE, id)
	else
		redis.call('ZADD', DUE, digits(now + tonumber(again_ms)), id)
	end
	return row(id)
end

if not ops[ARGV[1]] then return redis.error_reply('ERR operations: unknown operation') end
return ops[ARGV[1]](unpack(ARGV, 2))
