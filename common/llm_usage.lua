-- llm_usage - what agents use of LLM providers, inside Redis: limits that are judged before a request, what an answer cost afterwards. ARGV[1] is the operation.
-- Minutes and days are UTC's, by Redis' clock. No arguments are keys: the ACL judges each access.
--
--	mc:llm:agent:<asset>:<wallet>, mc:llm:key:<provider>	{m mr mt d dr dt}: minute, requests and tokens in it; day, the same
--	mc:llm:spent:<asset>, mc:llm:spent			{d c}: day, micro-USD of global keys
--	mc:llm:usage:<asset>:<wallet>:<day>			{# and <provider> <source> <model> <what>}: number of models; what is r(equests) i(nput) o(utput)
--								u(nknown) c(ost) n(ot priced); without a model: under way, or lost
--	mc:llm:limits						what the gateways judge by

local DAY_MS = 86400000
local op = ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local day, minute = math.floor(now / DAY_MS), math.floor(now / 60000)

local function digits(n) return string.format('%.0f', n) end

local MINUTE_WAIT, DAY_WAIT = math.ceil((60000 - now % 60000) / 1000), math.ceil((DAY_MS - now % DAY_MS) / 1000)

-- the counters of this minute and day: requests and tokens of each
local function counters(key)
	local h = redis.call('HMGET', key, 'm', 'mr', 'mt', 'd', 'dr', 'dt')
	local same_minute, same_day = h[1] == digits(minute), h[4] == digits(day)
	return {same_minute and tonumber(h[2]) or 0, same_minute and tonumber(h[3]) or 0, same_day and tonumber(h[5]) or 0, same_day and tonumber(h[6]) or 0}
end

local function charge(key, requests, tokens)
	local c = counters(key)
	redis.call('HSET', key, 'm', digits(minute), 'mr', digits(c[1] + requests), 'mt', digits(c[2] + tokens),
		'd', digits(day), 'dr', digits(c[3] + requests), 'dt', digits(c[4] + tokens))
	redis.call('PEXPIRE', key, digits(2 * DAY_MS))
end

local function spent(key)
	local h = redis.call('HMGET', key, 'd', 'c')
	return h[1] == digits(day) and tonumber(h[2]) or 0
end

local function spend(key, micro)
	redis.call('HSET', key, 'd', digits(day), 'c', digits(spent(key) + micro))
	redis.call('PEXPIRE', key, digits(2 * DAY_MS))
end

local NAMES = {'requests_minute', 'tokens_minute', 'requests_day', 'tokens_day'}

-- limits: four numbers, 0: none -> which one is reached, the wait in seconds; the longest of several
local function reached(key, whose, limits)
	local c, which, wait = counters(key), '', 0
	for i = 1, 4 do
		local w = i < 3 and MINUTE_WAIT or DAY_WAIT
		if limits[i] > 0 and c[i] >= limits[i] and w > wait then which, wait = whose .. NAMES[i], w end
	end
	return which, wait
end

local function usage_key(asset, wallet, at_day) return 'mc:llm:usage:' .. asset .. ':' .. wallet .. ':' .. at_day end

local ops = {}

-- Nothing is charged if one of them is reached. asset wallet provider source keep_days, then agent's four, key's four (requests_minute tokens_minute
-- requests_day tokens_day), agent_micro all_micro -> which('': it may) wait_s day head(the newest event there is) head_history
ops.judge = function(asset, wallet, provider, source, keep_days, ...)
	local n, agent, key = {}, 'mc:llm:agent:' .. asset .. ':' .. wallet, 'mc:llm:key:' .. provider
	for i, text in ipairs({...}) do n[i] = tonumber(text) end
	local which, wait = reached(agent, 'agent_', n)
	if source == 'global' then
		local w, s = reached(key, 'key_', {n[5], n[6], n[7], n[8]})
		if s > wait then which, wait = w, s end
		if n[9] > 0 and spent('mc:llm:spent:' .. asset) >= n[9] then which, wait = 'agent_spending_day', DAY_WAIT end
		if n[10] > 0 and spent('mc:llm:spent') >= n[10] then which, wait = 'all_spending_day', DAY_WAIT end
	end
	local last = redis.call('XREVRANGE', 'mc:events', '+', '-', 'COUNT', 1)[1]
	local head, head_history = last and last[1] or '0-0', last and last[2][2] or ''
	if which ~= '' then return {which, digits(wait), digits(day), head, head_history} end
	charge(agent, 1, 0)
	if source == 'global' then charge(key, 1, 0) end
	-- until its end is told it has no model, and stays so if that is lost
	local usage = usage_key(asset, wallet, digits(day))
	local row = provider .. ' ' .. source .. '  '
	redis.call('HINCRBY', usage, row .. 'r', 1)
	redis.call('HINCRBY', usage, row .. 'u', 1)
	redis.call('PEXPIRE', usage, digits(tonumber(keep_days) * DAY_MS))
	return {'', '0', digits(day), head, head_history}
end

-- asset wallet provider source day(of judge) models_max model input output unknown(0|1) charged(tokens that count) micro('': no price) -> 'noted'
ops.note = function(asset, wallet, provider, source, at_day, models_max, model, input, output, unknown, charged, micro)
	local usage = usage_key(asset, wallet, at_day)
	charge('mc:llm:agent:' .. asset .. ':' .. wallet, 0, tonumber(charged))
	if source == 'global' then
		charge('mc:llm:key:' .. provider, 0, tonumber(charged))
		if micro ~= '' then
			spend('mc:llm:spent:' .. asset, tonumber(micro))
			spend('mc:llm:spent', tonumber(micro))
		end
	end
	local open, row = provider .. ' ' .. source .. '  ', provider .. ' ' .. source .. ' ' .. model .. ' '
	-- gone: it is too old for what it was to be noted in
	if redis.call('HEXISTS', usage, open .. 'r') == 0 then return 'gone' end
	if model ~= '' then
		if redis.call('HEXISTS', usage, row .. 'r') == 0 then
			if (tonumber(redis.call('HGET', usage, '#')) or 0) >= tonumber(models_max) then
				row = provider .. ' ' .. source .. ' other '
			else
				redis.call('HINCRBY', usage, '#', 1)
			end
		end
		redis.call('HINCRBY', usage, open .. 'r', -1)
		redis.call('HINCRBY', usage, row .. 'r', 1)
	end
	redis.call('HINCRBY', usage, open .. 'u', -1)
	redis.call('HINCRBY', usage, row .. 'u', unknown)
	redis.call('HINCRBY', usage, row .. 'i', input)
	redis.call('HINCRBY', usage, row .. 'o', output)
	if micro == '' then redis.call('HINCRBY', usage, row .. 'n', 1) else redis.call('HINCRBY', usage, row .. 'c', micro) end
	return 'noted'
end

-- What a gateway judges by, for those who are to be told. The ten numbers.
ops.limits = function(...)
	local names, args = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9'}, {}
	for i, text in ipairs({...}) do
		args[#args + 1] = names[i]
		args[#args + 1] = text
	end
	redis.call('HSET', 'mc:llm:limits', unpack(args))
	return 'noted'
end

-- asset wallet days -> day {requests_minute tokens_minute requests_day tokens_day}(used) {ten limits}({}: nobody has told) {{day field value field value...}...}
ops.read = function(asset, wallet, days)
	local used, found = counters('mc:llm:agent:' .. asset .. ':' .. wallet), {}
	for i = 1, 4 do used[i] = digits(used[i]) end
	local limits = redis.call('HMGET', 'mc:llm:limits', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
	for at = day, day - tonumber(days) + 1, -1 do
		local fields = redis.call('HGETALL', usage_key(asset, wallet, digits(at)))
		if #fields > 0 then
			table.insert(fields, 1, digits(at))
			found[#found + 1] = fields
		end
	end
	return {digits(day), used, limits[1] and limits or {}, found}
end

if not ops[op] then return redis.error_reply('ERR llm_usage: unknown operation') end
return ops[op](unpack(ARGV, 2))
