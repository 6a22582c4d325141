/* What an agent answers has to begin like an answer. nginx takes anything else for HTTP/0.9 and passes it on as it is, so that its bytes, read by a browser as
 * a head, would go past every header that is dropped here (rule 2 of the design). It has no switch for that; an exception ends the connection. */
function refuse_unframed(r) {
	if (r.httpVersion === '0.9')
		throw new Error('the agent did not answer in HTTP');
}

export default {refuse_unframed};
