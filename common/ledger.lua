-- ledger - every step that decides, inside Redis. One script, ARGV[1] is the operation; each reply begins with the history it was served in.
-- The rules quoted by number are those of ARCHITECTURE.md, "Ownership and revocation". Slots are 20-digit decimal text, so that text
-- order is number order over all of u64; times are Unix milliseconds by Redis' clock. No arguments are keys: the ACL judges each access.

local SETTLING_MS = 2000
local EVENTS_KEPT = 250000
local EVENTS_PER_READ = 1000
local SILENT_MS = 5000
local FORGOTTEN_MS = 60000
local SIGN_IN_CHAIN_AGE_MS = 60000
local CLOCK_SLACK_MS = 5000
local NONCE_MS = 300000
local TICKET_MS = 30000
local SESSIONS_PER_ASSET = 64
local CHILDREN_PER_SESSION = 16
local SEEN_EVERY_MS = 60000
local NO_SLOT = string.rep('0', 20)
local NOBODY = 'nobody'

local op = ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- Lua prints large numbers as 1.7e+12: whole numbers only, as digits
local function digits(n) return string.format('%.0f', n) end

local now_us = digits(t[1] * 1000000 + t[2])

-- Rule 16: a history is what one Redis process served.
local history, generation, began, lost
do
	local info = redis.call('INFO', 'server')
	local _, label_end = string.find(info, '\nrun_id:', 1, true)
	local run_id = string.match(info, '^%x+', label_end + 1)
	local h = redis.call('HMGET', 'mc:history', 'id', 'run_id', 'began', 'generation', 'lost')
	if h[1] and h[2] == run_id then
		history, began, generation, lost = h[1], tonumber(h[3]), h[4], h[5] == '1'
		if began > now then -- the clock was set back: settle anew, but not until it has caught up
			began = now
			redis.call('HSET', 'mc:history', 'began', digits(began))
		end
	else
		history = string.sub(run_id, 1, 12) .. '-' .. now_us
		began, lost, generation = now, false, h[4] or history
		redis.call('HSET', 'mc:history', 'id', history, 'run_id', run_id, 'began', digits(began),
			'generation', generation, 'lost', '0')
	end
end
local settling = math.max(0, began + SETTLING_MS - now)

-- Rule 8: an event says "look again"; kind is for people only, nothing decides by it.
local function add_event(asset, kind)
	if settling > 0 then
		return redis.call('XADD', 'mc:events', '*', 'h', history, 'a', asset, 'k', kind)
	end
	return redis.call('XADD', 'mc:events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'h', history, 'a', asset, 'k', kind)
end

-- the newest event's id and history
local function head()
	local last = redis.call('XREVRANGE', 'mc:events', '+', '-', 'COUNT', 1)[1]
	if not last then return '0-0', '' end
	return last[1], last[2][2]
end

-- decimal text of any size, no leading zeros
local function number_less(a, b) return #a < #b or (#a == #b and a < b) end

-- a < b for stream ids "ms-seq"
local function id_less(a, b)
	local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
	local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
	if ams ~= bms then return number_less(ams, bms) end
	return number_less(aseq, bseq)
end

-- All sessions end. Named by its event: two can fall into one microsecond.
local function new_generation(kind)
	local event = add_event('*', kind)
	generation = history .. '+' .. event
	redis.call('HSET', 'mc:history', 'generation', generation)
	return event
end

-- Rule 6, the verdict on a session as one word. A record that was begun anew (reset) vouches for no session made before. A child lives
-- while its parent's key does, so that whatever ends the parent ends it in the same step; all else it has copied from the parent.
local function verdict(s)
	if not s[1] then return 'ended' end
	if s[13] and redis.call('EXISTS', 'mc:session:' .. s[13]) == 0 then return 'ended' end
	if s[4] ~= generation then return 'ended' end
	if redis.call('EXISTS', 'mc:banned:' .. s[2]) == 1 then return 'banned' end
	local rec = redis.call('HMGET', 'mc:owner:' .. s[1], 'owner', 'other_slot', 'began')
	if rec[1] ~= s[2] or rec[3] ~= s[12] or not (s[3] > rec[2]) then return 'ended' end
	return 'good'
end

local function session_read(jti)
	return redis.call('HMGET', 'mc:session:' .. jti, 'asset', 'wallet', 'slot', 'generation', 'iat', 'exp', 'aud', 'name',
		'seen', 'ip', 'agent', 'record', 'parent')
end

-- The children's keys say nothing any more; they only take room. -> was there such a session?
local function session_drop(jti)
	local children = 'mc:children:' .. jti
	if redis.call('DEL', 'mc:session:' .. jti) == 0 then return false end
	for _, child in ipairs(redis.call('ZRANGE', children, 0, -1)) do redis.call('DEL', 'mc:session:' .. child) end
	redis.call('DEL', children)
	return true
end

local function session_end(jti, asset, kind)
	local parent = redis.call('HGET', 'mc:session:' .. jti, 'parent')
	if not session_drop(jti) then return nil end
	if parent then
		redis.call('ZREM', 'mc:children:' .. parent, jti)
	else
		redis.call('ZREM', 'mc:sessions:' .. asset, jti)
	end
	return add_event(asset, kind)
end

local ops = {}

-- Rule 17: an event that somebody knows of and that is gone proves that writes were lost.
local function note_loss(newest, newest_history, oldest)
	if lost then return end
	local found = redis.call('XRANGE', 'mc:events', newest, newest)[1]
	if found and found[2][2] == newest_history then return end
	if oldest and id_less(newest, oldest) then return end
	lost = true
	redis.call('HSET', 'mc:history', 'lost', '1')
	new_generation('lost')
end

-- Rule 12: are events after the cursor not all known? A cursor of 0-0 saw an empty stream, and nothing is trimmed from a short one.
local function must_restart(known_history, cursor, oldest, newest)
	if known_history ~= history or cursor == '' or id_less(newest, cursor) then return true end
	if not oldest or not id_less(cursor, oldest) then return false end
	return cursor ~= '0-0' or redis.call('XLEN', 'mc:events') >= EVENTS_KEPT
end

-- name role history cursor open('' or the first event that the reader has read and not enforced) age_ms(since it is so far) {event history}...(that it knows of)
-- -> history settling now restart head head_history slot at genesis {{id, history, asset, kind}...}
ops.follow = function(name, role, known_history, cursor, open, age_ms, ...)
	local oldest = redis.call('XRANGE', 'mc:events', '-', '+', 'COUNT', 1)[1]
	oldest = oldest and oldest[1]
	local known = {...}
	for i = 1, #known, 2 do note_loss(known[i], known[i + 1], oldest) end
	local last, last_history = head()
	local restart = must_restart(known_history, cursor, oldest, last)
	local entries = {}
	if not restart and cursor ~= last then
		for i, e in ipairs(redis.call('XRANGE', 'mc:events', '(' .. cursor, '+', 'COUNT', EVENTS_PER_READ)) do
			entries[i] = {e[1], e[2][2], e[2][4], e[2][6]}
		end
	end
	-- Written down in every read, so that a demoted or cut-off primary refuses it (rule 10).
	redis.call('HSET', 'mc:replicas', name, table.concat({role, digits(now), digits(math.max(0, now - (tonumber(age_ms) or 0))),
		known_history ~= '' and known_history or '-', cursor ~= '' and cursor or '-', open and open ~= '' and open or '-'}, ' '))
	local chain = redis.call('HMGET', 'mc:chain', 'slot', 'at', 'genesis')
	return {history, digits(settling), digits(now), restart and '1' or '0', last, last_history, chain[1] or '', chain[2] or '',
		chain[3] or '', entries}
end

-- Rule 15. Whoever is not there and holds nothing is not waited for; what a sandbox or a vault held is there still.
local function stays(role) return role == 'sandbox' or role == 'secret-vault' end

local function is_id(text) return text == '-' or string.match(text, '^%d+%-%d+$') end

-- One replica's word on an event -> {name role state silent_ms ms}; nil: it has been gone for so long that it is forgotten. ms: from the event to the moment
-- from which the replica knew it enforced, by this process's clock. Whose word is not understood may hold anything.
local function replica_state(name, text, event)
	local role, seen, at, of, handled, open = string.match(text, '^(%S+) (%d+) (%d+) (%S+) (%S+) (%S+)$')
	if not role or not is_id(handled) or not is_id(open) then return {name, 'unknown', 'open', '0', '0'} end
	local silent = math.max(0, now - tonumber(seen))
	if silent >= FORGOTTEN_MS and not stays(role) then return nil end
	local done = settling == 0 and of == history and handled ~= '-' and not id_less(handled, event) and
		(open == '-' or id_less(event, open))
	local state = done and 'done' or silent >= SILENT_MS and 'silent' or 'open'
	return {name, role, state, digits(silent), done and digits(math.max(0, tonumber(at) - tonumber(string.match(event, '^%d+')))) or '0'}
end

-- Who has enforced an event. event history(it was added in) -> history settling known('1'; '0': this history has no such event, its writes were lost) slot
-- {{name role state('done' 'open' 'silent') silent_ms ms}...} waited_for(how many of them)
ops.enforced = function(event, event_history)
	redis.call('HSET', 'mc:history', 'id', history) -- a write: of who is silent at a primary that was cut off nothing follows
	local found = redis.call('XRANGE', 'mc:events', event, event)[1]
	local oldest = redis.call('XRANGE', 'mc:events', '-', '+', 'COUNT', 1)[1]
	local known = (found and found[2][2] == event_history) or (not found and oldest and id_less(event, oldest[1]))
	local all, replicas, waited_for = redis.call('HGETALL', 'mc:replicas'), {}, 0
	for i = 1, #all, 2 do
		local r = replica_state(all[i], all[i + 1], event)
		if r then
			replicas[#replicas + 1] = r
			if r[3] == 'open' or (r[3] == 'silent' and stays(r[2])) then waited_for = waited_for + 1 end
		else
			redis.call('HDEL', 'mc:replicas', all[i])
		end
	end
	return {history, digits(settling), known and '1' or '0', redis.call('HGET', 'mc:chain', 'slot') or '', replicas, digits(waited_for)}
end

-- An operator's word: this replica is no more, nor is what it held. name -> history '1' if it was listed
ops.unlist = function(name) return {history, digits(redis.call('HDEL', 'mc:replicas', name))} end

-- Assets whose record names a wallet, of a part of those that are watched. wallet cursor('0': from the beginning) -> history cursor('0': that was all) {asset...}
ops.owned = function(wallet, cursor)
	local page, found = redis.call('SSCAN', 'mc:assets', cursor, 'COUNT', 200), {}
	for _, asset in ipairs(page[2]) do
		if redis.call('HGET', 'mc:owner:' .. asset, 'owner') == wallet then found[#found + 1] = asset end
	end
	return {history, page[1], found}
end

-- jti -> history head verdict asset wallet slot iat exp aud name
ops.look = function(jti)
	local s = session_read(jti)
	local v = verdict(s)
	if v == 'good' and now - tonumber(s[9]) >= SEEN_EVERY_MS then
		redis.call('HSET', 'mc:session:' .. jti, 'seen', digits(now))
	end
	return {history, head(), v, s[1] or '', s[2] or '', s[3] or '', s[5] or '', s[6] or '', s[7] or '', s[8] or ''}
end

-- asset owner slot watch('1': begin a record, for a sign-in) -> history event('' if nothing changed) owner seen_slot other_slot
-- owner is 'nobody' for an asset that is burned, moved out, not a Core asset. A new record begins above what the forgotten ones had seen,
-- so that a reading that was under way meanwhile cannot go back in time.
ops.observe = function(asset, owner, slot, watch)
	local key = 'mc:owner:' .. asset
	local rec = redis.call('HMGET', key, 'owner', 'seen_slot', 'other_slot')
	if not rec[1] then
		if watch ~= '1' then return {history, '', '', NO_SLOT, NO_SLOT} end
		local floor = redis.call('HGET', 'mc:chain', 'forgotten') or NO_SLOT
		local seen = slot > floor and slot or floor
		redis.call('HSET', key, 'owner', owner, 'seen_slot', seen, 'other_slot', floor, 'began', now_us)
		redis.call('SADD', 'mc:assets', asset)
		return {history, '', owner, seen, floor}
	end
	if rec[1] == owner then -- rule 5, first case
		if slot > rec[2] then redis.call('HSET', key, 'seen_slot', slot) end
		return {history, '', owner, slot > rec[2] and slot or rec[2], rec[3]}
	end
	if slot > rec[2] then -- second case: a change of owner
		redis.call('HSET', key, 'owner', owner, 'seen_slot', slot, 'other_slot', rec[2])
		return {history, add_event(asset, 'transfer'), owner, slot, rec[2]}
	end
	if slot > rec[3] then -- third case: late or contradicting
		redis.call('HSET', key, 'other_slot', slot)
		return {history, add_event(asset, 'transfer'), rec[1], rec[2], slot}
	end
	return {history, '', rec[1], rec[2], rec[3]}
end

-- What stands until every session of an asset is ended at once. What runs without a session compares it (rule 14): all sessions ended, lost
-- writes and a ban change it, the end of one session does not. '' while the owner is banned.
local function epoch(asset, owner)
	if owner and redis.call('EXISTS', 'mc:banned:' .. owner) == 1 then return '' end
	return redis.sha1hex(generation .. ' ' .. (redis.call('GET', 'mc:ended:' .. asset) or ''))
end

-- Who was last seen to own an asset, and which host has its agent. asset -> history head owner('' if there is no record) seen_slot other_slot epoch
-- host('': none)
ops.owner = function(asset)
	local rec = redis.call('HMGET', 'mc:owner:' .. asset, 'owner', 'seen_slot', 'other_slot')
	return {history, head(), rec[1] or '', rec[2] or NO_SLOT, rec[3] or NO_SLOT, epoch(asset, rec[1]),
		redis.call('GET', 'mc:place:' .. asset) or ''}
end

-- Rule 2: holder has something of the asset. Without a record nothing is watched, and the answer says so in the same step: a record that is
-- there cannot be forgotten before this takes effect. asset holder -> the same
ops.hold = function(asset, holder)
	redis.call('SADD', 'mc:held:' .. asset, holder)
	return ops.owner(asset)
end

-- asset holder -> history '1' if it was noted
ops.release = function(asset, holder)
	return {history, digits(redis.call('SREM', 'mc:held:' .. asset, holder))}
end

-- Which host has an asset's agent. It stays where it was placed: its volume is there. asset host claim('1': take it if nobody has it)
-- -> history host('' if nobody has it)
ops.place = function(asset, host, claim)
	-- SETNX, so that a host's right to claim is none to take what another has
	if claim == '1' then redis.call('SETNX', 'mc:place:' .. asset, host) end
	return {history, redis.call('GET', 'mc:place:' .. asset) or ''}
end

-- asset host -> history '1' if it was that host's. No daemon's: who could take a place away could claim it
ops.unplace = function(asset, host)
	if redis.call('GET', 'mc:place:' .. asset) ~= host then return {history, '0'} end
	redis.call('DEL', 'mc:place:' .. asset)
	return {history, '1'}
end

-- An operator's word: the agent is another host's from now on. Its host is told by the event. asset from to -> history event('' if it was not from's)
ops.move = function(asset, from, to)
	if redis.call('GET', 'mc:place:' .. asset) ~= from then return {history, ''} end
	redis.call('SET', 'mc:place:' .. asset, to)
	return {history, add_event(asset, 'agent')}
end

-- Rule 3: a sweep whose reads were all above the slot in mc:chain. slot age_ms(since it began) genesis -> history 'counted'|'behind'|'other_chain'
ops.chain = function(slot, age_ms, genesis)
	local chain = redis.call('HMGET', 'mc:chain', 'slot', 'genesis')
	if chain[2] and chain[2] ~= genesis then return {history, 'other_chain'} end
	if chain[1] and not (slot > chain[1]) then return {history, 'behind'} end
	redis.call('HSET', 'mc:chain', 'slot', slot, 'at', digits(math.max(0, now - tonumber(age_ms))), 'genesis', genesis)
	return {history, 'counted'}
end

-- Records that end leave behind how far they had seen; it never passes the slot in mc:chain, which every reading is asked to reach (rule 3).
local function forget_record(asset, seen)
	local floor = redis.call('HGET', 'mc:chain', 'forgotten')
	if seen and not (floor and floor >= seen) then redis.call('HSET', 'mc:chain', 'forgotten', seen) end
	redis.call('SREM', 'mc:assets', asset)
	redis.call('DEL', 'mc:owner:' .. asset)
end

-- Rule 2: nothing is held any more. asset -> history '1' if it is not watched now ('0' also until a sweep has passed what it had seen)
ops.forget = function(asset)
	if redis.call('ZCOUNT', 'mc:sessions:' .. asset, digits(now), '+inf') > 0 then return {history, '0'} end
	if redis.call('EXISTS', 'mc:held:' .. asset) == 1 then return {history, '0'} end
	local seen, chain = redis.call('HGET', 'mc:owner:' .. asset, 'seen_slot'), redis.call('HGET', 'mc:chain', 'slot')
	if seen and not (chain and chain >= seen) then return {history, '0'} end
	forget_record(asset, seen)
	redis.call('DEL', 'mc:ended:' .. asset)
	return {history, '1'}
end

-- An operator repairs a poisoned record: it begins anew, its sessions are over. Who holds something of it stays noted, and finds no record.
-- asset -> history event
ops.reset = function(asset)
	forget_record(asset, redis.call('HGET', 'mc:chain', 'slot'))
	return {history, add_event(asset, 'reset')}
end

-- {kind key rate_per_minute burst}... -> nil, or the wait in ms if one of the buckets is empty (then none is charged)
local function limited(args, first)
	local wait, charged = 0, {}
	for i = first, #args - 3, 4 do
		local key, rate, burst = 'mc:rate:' .. args[i] .. ':' .. args[i + 1], tonumber(args[i + 2]) / 60000, tonumber(args[i + 3])
		local b = redis.call('HMGET', key, 'left', 'at')
		local left = math.min(burst, (tonumber(b[1]) or burst) + math.max(0, now - (tonumber(b[2]) or now)) * rate)
		if left < 1 then wait = math.max(wait, math.ceil((1 - left) / rate)) end
		charged[#charged + 1] = {key, left - 1, math.ceil(burst / rate)}
	end
	if wait > 0 then return wait end
	for _, c in ipairs(charged) do
		redis.call('HSET', c[1], 'left', tostring(c[2]), 'at', digits(now))
		redis.call('PEXPIRE', c[1], digits(c[3] + 1000))
	end
end

-- {kind key rate_per_minute burst}... -> history wait_ms('0': allowed)
ops.limit = function(...)
	return {history, digits(limited({...}, 1) or 0)}
end

-- What is stored to be read once, with the history it was stored in. key ttl_ms value {limits...} -> history wait_ms('0': stored)
local function store_once(key, ttl_ms, value, ...)
	local wait = limited({...}, 1)
	if wait then return {history, digits(wait)} end
	redis.call('SET', key, history .. '\n' .. value, 'PX', ttl_ms)
	return {history, '0'}
end

-- Reads it once: a failed try burns it. key -> history stored_history('' if unknown) value
local function read_once(key)
	local stored = redis.call('GETDEL', key)
	if not stored then return {history, '', ''} end
	local h, value = string.match(stored, '^([^\n]*)\n(.*)$')
	return {history, h or '', value or ''}
end

-- A sign-in's text under its nonce, 5 minutes. nonce value {limits...} -> as store_once
ops.issue = function(nonce, value, ...) return store_once('mc:nonce:' .. nonce, NONCE_MS, value, ...) end

-- nonce -> as read_once
ops.take = function(nonce) return read_once('mc:nonce:' .. nonce) end

-- A step on the way to the agent's origin, under the hash of what is handed out, 30 s. hash value {limits...} -> as store_once
ops.ticket = function(hash, value, ...) return store_once('mc:ticket:' .. hash, TICKET_MS, value, ...) end

-- hash -> as read_once
ops.redeem = function(hash) return read_once('mc:ticket:' .. hash) end

-- Rule 7. asset wallet slot history jti iat exp(ms) aud name ip agent kid previous('' or a jti of the same asset that ends)
-- -> history verdict('good' 'history' 'settling' 'chain' 'banned' 'not_owner') event
ops.mint = function(asset, wallet, slot, known_history, jti, iat, exp, aud, name, ip, agent, kid, previous)
	if known_history ~= history then return {history, 'history', ''} end
	if settling > 0 then return {history, 'settling', ''} end
	local chain_at = redis.call('HGET', 'mc:chain', 'at')
	local age = chain_at and now - tonumber(chain_at)
	if not age or age > SIGN_IN_CHAIN_AGE_MS or age < -CLOCK_SLACK_MS then return {history, 'chain', ''} end
	if redis.call('EXISTS', 'mc:banned:' .. wallet) == 1 then return {history, 'banned', ''} end
	local rec = redis.call('HMGET', 'mc:owner:' .. asset, 'owner', 'other_slot', 'seen_slot', 'began')
	-- a slot nobody has observed proves nothing: it would outlive every later transfer
	if wallet == NOBODY or rec[1] ~= wallet or not (slot > rec[2]) or slot > rec[3] then return {history, 'not_owner', ''} end
	local all = 'mc:sessions:' .. asset
	-- the one write first that a full Redis refuses: after any other it would let all pass
	redis.call('HSET', 'mc:session:' .. jti, 'asset', asset, 'wallet', wallet, 'slot', slot, 'generation', generation, 'iat', iat,
		'exp', exp, 'aud', aud, 'name', name, 'seen', digits(now), 'ip', ip, 'agent', agent, 'kid', kid, 'record', rec[4])
	redis.call('PEXPIREAT', 'mc:session:' .. jti, exp)
	if previous ~= '' and redis.call('HGET', 'mc:session:' .. previous, 'asset') == asset then
		session_end(previous, asset, 'replaced')
	end
	redis.call('ZREMRANGEBYSCORE', all, '-inf', digits(now))
	while redis.call('ZCARD', all) >= SESSIONS_PER_ASSET do
		local oldest = redis.call('ZRANGE', all, 0, 0)[1]
		redis.call('ZREM', all, oldest)
		session_end(oldest, asset, 'replaced')
	end
	redis.call('ZADD', all, exp, jti)
	redis.call('PEXPIREAT', all, digits(tonumber(redis.call('ZRANGE', all, -1, -1, 'WITHSCORES')[2])))
	return {history, 'good', add_event(asset, 'session')}
end

-- A session of the agent's origin, child of the console's session that opened it (I5). It proves nothing new: owner, slot and end are the
-- parent's, and only what was stored in this history counts. parent history jti iat aud ip agent kid
-- -> history verdict('good' 'history' 'banned' 'ended': the parent's) event
ops.mint_child = function(parent, known_history, jti, iat, aud, ip, agent, kid)
	if known_history ~= history then return {history, 'history', ''} end
	local s, all = session_read(parent), 'mc:children:' .. parent
	local v = verdict(s)
	if v == 'good' and s[7] ~= 'console' then v = 'ended' end
	if v ~= 'good' then return {history, v, ''} end
	-- as in mint: first the write that a full Redis refuses
	redis.call('HSET', 'mc:session:' .. jti, 'asset', s[1], 'wallet', s[2], 'slot', s[3], 'generation', s[4], 'iat', iat, 'exp', s[6],
		'aud', aud, 'name', s[8], 'seen', digits(now), 'ip', ip, 'agent', agent, 'kid', kid, 'record', s[12], 'parent', parent)
	redis.call('PEXPIREAT', 'mc:session:' .. jti, s[6])
	while redis.call('ZCARD', all) >= CHILDREN_PER_SESSION do
		local oldest = redis.call('ZRANGE', all, 0, 0)[1]
		redis.call('ZREM', all, oldest)
		session_end(oldest, s[1], 'replaced')
	end
	redis.call('ZADD', all, now_us, jti)
	redis.call('PEXPIREAT', all, s[6])
	return {history, 'good', add_event(s[1], 'session')}
end

-- The good sessions of an asset, without their children. asset -> history {{jti iat exp seen ip agent}...}
ops.list = function(asset)
	local found = {}
	for _, jti in ipairs(redis.call('ZRANGEBYSCORE', 'mc:sessions:' .. asset, digits(now), '+inf')) do
		local s = session_read(jti)
		if verdict(s) == 'good' then found[#found + 1] = {jti, s[5], s[6], s[9], s[10], s[11]} end
	end
	return {history, found}
end

-- asset jti kind('logout' 'revoked') -> history event('' if there was no such session of that asset)
ops['end'] = function(asset, jti, kind)
	if redis.call('HGET', 'mc:session:' .. jti, 'asset') ~= asset then return {history, ''} end
	return {history, session_end(jti, asset, kind) or ''}
end

-- asset kind -> history event
ops.end_all = function(asset, kind)
	local all = redis.call('ZRANGE', 'mc:sessions:' .. asset, 0, -1)
	redis.call('SET', 'mc:ended:' .. asset, now_us)
	for _, jti in ipairs(all) do session_drop(jti) end
	redis.call('DEL', 'mc:sessions:' .. asset)
	return {history, add_event(asset, kind)}
end

-- Every session there is ends. -> history event
ops.end_everything = function()
	return {history, new_generation('revoked')}
end

-- wallet '1'|'0' -> history event
ops.ban = function(wallet, banned)
	if banned == '1' then redis.call('SET', 'mc:banned:' .. wallet, digits(now)) else redis.call('DEL', 'mc:banned:' .. wallet) end
	return {history, add_event('*', 'banned')}
end

-- Something cached answers depended on changed: all of them (a signing key was retired), or an asset's (its agent started or stopped, a secret of its
-- owner was changed).
-- kind asset(absent: all) -> history event
ops.announce = function(kind, asset)
	return {history, add_event(asset or '*', kind)}
end

if not ops[op] then return redis.error_reply('ERR ledger: unknown operation') end
return ops[op](unpack(ARGV, 2))
