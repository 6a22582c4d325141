#include "services/router/entry_page.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define HASH_TEXT_SIZE \
	sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, sodium_base64_VARIANT_ORIGINAL)

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;margin:20vh auto 0;max-width:32em;padding:0 1em;"
    "color:#222;background:#fff}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}";

/* The opening leaves the address at once, so that neither history nor the agent sees it. What follows a redirect would be sent without Strict cookies:
 * so the last step is the page's own. */
static const char script[] =
    "(async()=>{"
    "const opening=location.hash.slice(1);"
    "history.replaceState(null,'',location.pathname);"
    "const say=(title,text)=>{"
    "document.getElementById('title').textContent=title;"
    "document.getElementById('text').textContent=text};"
    "const post=async(step,body)=>{"
    "const answer=await fetch('/.multiclaw/'+step,{method:'POST',credentials:'same-origin',"
    "cache:'no-store',redirect:'error',headers:{'Content-Type':'application/json'},"
    "body:JSON.stringify(body)});"
    "const said=await answer.json().catch(()=>({}));"
    "if(!answer.ok)throw new Error(said.code||'');"
    "return said};"
    "try{"
    "if(!opening)throw new Error('ticket_unknown');"
    "const {ticket}=await post('ticket',{opening});"
    "await post('session',{ticket});"
    "location.replace('/')"
    "}catch(error){"
    "const known={"
    "ticket_unknown:'This link was used already or is older than 30 seconds. "
    "Open the agent again from the console.',"
    "session_revoked:'Your session in the console has ended. Sign in there and open the agent "
    "again.',"
    "session_expired:'Your session in the console has ended. Sign in there and open the agent "
    "again.',"
    "session_invalid:'Your session in the console has ended. Sign in there and open the agent "
    "again.'};"
    "say('Your agent was not opened',known[error.message]||"
    "'A part of the service did not answer. Open the agent again from the console.')"
    "}})()";

static const char html[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>Opening your agent</title>\n<style>%s</style>\n"
    "<h1 id=\"title\">Opening your agent…</h1>\n"
    "<p id=\"text\">This browser is being let in to your agent. It takes a moment.</p>\n"
    "<noscript><p>This page needs JavaScript.</p></noscript>\n"
    "<p><a href=\"%s/\" rel=\"noreferrer\">To the console</a></p>\n<script>%s</script>\n</html>\n";

static void hash_of(const char *text, char out[HASH_TEXT_SIZE])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(hash, (const uint8_t *)text, strlen(text));
	sodium_bin2base64(out, HASH_TEXT_SIZE, hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
}

void entry_page_init(struct entry_page *page, const char *console)
{
	char script_hash[HASH_TEXT_SIZE], style_hash[HASH_TEXT_SIZE];
	int len = asprintf(&page->html, html, style, console, script);
	bug_if(len < 0);
	page->len = (size_t)len;
	hash_of(script, script_hash);
	hash_of(style, style_hash);
	snprintf(page->policy, sizeof(page->policy),
	    "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
	    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	    script_hash, style_hash);
}

void entry_page_clear(struct entry_page *page)
{
	free(page->html);
	page->html = NULL;
}
