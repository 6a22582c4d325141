/* multiclaw - the command line: owners sign in and look after their sessions, operators look after the suite. */
#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/confine.h"
#include "common/heap.h"
#include "common/log.h"
#include "common/service.h"
#include "services/cli/cli.h"
#include "services/cli/session_file.h"

static const struct cli_command commands[] = {
    {"login", cli_login, "login --keypair FILE [--asset ADDRESS]",
	"Sign in with a wallet that owns an agent's NFT.",
	"FILE is a Solana CLI keypair file. The text to sign is checked to be a sign-in to this "
	"service before it is signed.\n"
	"The session is kept in a file of mode 0600 (see --session) and ends by itself after 7 "
	"days, at 'logout', or the\n"
	"moment the NFT changes hands."},
    {"sign", cli_sign, "sign --keypair FILE",
	"Sign a challenge's text from standard input, for a sign-in by hand.",
	"Prints the signature in base58. Refuses any text that is not a sign-in to this service "
	"(--url) by this wallet."},
    {"whoami", cli_whoami, "whoami", "Show the present session.", NULL},
    {"sessions", cli_sessions, "sessions [end JTI|all]",
	"List this agent's sessions, or end one or all.", NULL},
    {"logout", cli_logout, "logout", "End the present session.", NULL},
    {"curl", cli_curl, "curl [-X METHOD] [-d JSON] [-i] PATH", "Make a request with the session.",
	"PATH is a path of the service (/v1/session) or a URL of the agent's own origin, "
	"which is entered first as a\n"
	"browser does it: the session goes nowhere else, and the one that belongs to it there is "
	"kept beside it. For a\n"
	"service that is not on localhost, MULTICLAW_AGENTS_DOMAIN says where its agents live. -i "
	"prints the status first."},
    {"events", cli_events, "events", "Show this agent's events as they happen.", NULL},
    {"secrets", cli_secrets,
	"secrets [list | set KIND NAME [--delivery gateway|file] | rm KIND NAME]",
	"What the agent's owner keeps in the vault: list it redacted, set, destroy.",
	"KIND is llm (NAME: a provider, see 'llm keys'), bot (telegram, discord, slack) or custom. "
	"The value comes "
	"from standard\n"
	"input (one newline at its end is taken away) or is typed unseen; it is never shown again. "
	"A value typed on the command\n"
	"line could be read by everybody on this machine, so it is not taken from there. A "
	"provider's "
	"key stays on the agent's host\n"
	"and is put on its requests there, unless --delivery file puts it into the agent."},
    {"llm", cli_llm, "llm keys | usage [--days N]",
	"Where the key of each LLM provider comes from; what the agent used.",
	"keys: user: the owner's own; global: the operators', through their gateway; none.\n"
	"usage: by day (UTC), provider, model and key, 7 days unless --days says how many (1 to "
	"31). unknown: requests whose\n"
	"tokens the provider did not say. USD by the operator's list of prices; ?: there is none. "
	"What is left of the agent's\n"
	"limits stands below."},
    {"wallet", cli_wallet, "wallet [show | send | delegates | status | ...]",
	"The agent's on-chain wallet: what it holds, who else can spend from it; spend from it.",
	"No key controls it: the owner signs (--keypair), the service composes and sends.\n"
	"  wallet show                     balance, tokens, delegates; clean, or captured: do not "
	"fund it then\n"
	"  wallet send --sol AMOUNT --to ADDRESS --keypair FILE\n"
	"  wallet send --token MINT --amount AMOUNT --to ADDRESS --keypair FILE\n"
	"                                  amounts in whole SOL or tokens (0.5), or the word all. "
	"ADDRESS is a wallet; its\n"
	"                                  token account is created if it has none\n"
	"  wallet send --nft ADDRESS --to ADDRESS --keypair FILE\n"
	"                                  a Metaplex Core asset; of other NFTs: --token MINT "
	"--amount 1\n"
	"  wallet close ACCOUNT...|--empty --keypair FILE\n"
	"                                  empty token accounts; their SOL goes to the agent's "
	"wallet\n"
	"  wallet delegates                who else can spend: delegates of execution and of "
	"tokens\n"
	"  wallet revoke-delegate RECORD | --token-account ACCOUNT, --keypair FILE\n"
	"  wallet status ID [--wait]       what became of a transaction\n"
	"  wallet recent                   its latest transactions, as one node says\n"
	"  wallet instructions FILE --dangerous --keypair FILE\n"
	"                                  raw ones, signed by the agent's wallet: a JSON list of "
	"{program, accounts:\n"
	"                                  [{address, signer, writable}], data in base64}. They "
	"can give everything away\n"
	"  wallet hot [create --keypair FILE --out FILE|--show]\n"
	"                                  the agent's hot wallet: its address, or make it. "
	"create asks the owner's wallet for\n"
	"                                  a signature that names the act. The secret key is sent "
	"once, sealed to this\n"
	"                                  command, and written to a new file (--out), or printed "
	"in base58 (--show). It\n"
	"                                  cannot be had a second time, by anybody\n"
	"What is signed is read from the transaction's own bytes here, shown, and compared with "
	"what was asked for; anything else\n"
	"is refused. A node's simulation is shown as that node's word. Then you are asked. "
	"Options: --yes asks nothing, and does not\n"
	"sign what a node says would fail; --finalized waits until it cannot be undone; "
	"--max-fee SOL, of the priority fee (0.001);\n"
	"--allow-off-curve, for recipients that are programs' addresses.\n"
	"Exit status: 0 it has landed; 1 refused, failed or expired; 4 not known yet: 'wallet "
	"status'."},
    {"audit", cli_audit, "audit list [--after N] | export | verify FILE [--head SEQ:HASH]",
	"What was done with the agent's secrets; check a copy of it.",
	"export writes the whole chain as JSON lines to standard output, and its head to standard "
	"error: keep that elsewhere.\n"
	"verify works without the service, on an owner's copy or an operator's ('vault audit "
	"export'; FILE may be -). It says which\n"
	"entry was changed, left out or moved; with a head that was kept, also whether the end was "
	"cut off."},
    {"agent", cli_agent, "agent [status | start | stop | restart | open | logs [-f] | ...]",
	"The owner's agent: look at it, start, stop, open it in a browser, read its logs, save it.",
	"  agent status                    its state: stopped, starting, running, sleeping (a "
	"request wakes it), failed;\n"
	"                                  its newest snapshot, and why the last try made none\n"
	"  agent start | stop | restart    restart gives it fresh secrets; once stopped, only "
	"start "
	"wakes it\n"
	"  agent open [--print]            an address that opens it in a browser, once, within 30 "
	"s; at a desktop's\n"
	"                                  terminal the browser is opened too, unless --print\n"
	"  agent logs [-f] [--raw]         what it wrote lately; -f goes on. What could steer a "
	"terminal is shown as '?'\n"
	"                                  unless --raw\n"
	"Snapshots, of what the agent keeps in /data:\n"
	"  agent snapshots                 what is saved, what is under way, what the owner before "
	"left\n"
	"  agent snapshot                  save it now. A file that holds one of the agent's "
	"secrets "
	"is named, and nothing is\n"
	"                                  saved until it is gone or listed in "
	"custom/snapshot-exclude ('secrets set')\n"
	"  agent restore [--yes] ID        stop it, and start it from that one\n"
	"  agent discard ID                delete one that is not the newest\n"
	"  agent hand-over ROOT... | --withdraw\n"
	"                                  leave folders below /data, as they are now, to the next "
	"owner; or nothing any more\n"
	"  agent accept | refuse [--yes]   what the owner before left: restart the agent with it, "
	"or "
	"throw it away\n"
	"Operators, of the agents of all hosts (MULTICLAW_SANDBOXES):\n"
	"  agent list\n"
	"  agent halt ASSET                stop it at once; its owner may start it again\n"
	"  agent move ASSET HOST [--lost]  save it, stop it, and give it to another host, where "
	"its "
	"owner's next visit starts it.\n"
	"                                  --lost: the old host is gone, and with it what was not "
	"saved\n"
	"  agent wake ASSET                start one that its present owner started before\n"
	"  agent exec [--raw] ASSET -- PROGRAM [ARGUMENTS]\n"
	"                                  run a program (by its path) in its container; the "
	"owner's audit trail says so\n"
	"wake and exec need the role operator-exec, which no key has by default: add "
	"'+operator-exec' to the operator's line in\n"
	"curve/peers."},
    {"image", cli_image, "image import LAYOUT[:TAG] --name NAME | list | rm NAME",
	"Operators, on an agents' host: the images that agents run.",
	"  image import LAYOUT[:TAG] --name NAME [--kind openclaw] [--max-size 4G] [--max-files "
	"200000]\n"
	"                                  take an OCI image layout (a folder, as 'skopeo copy "
	"... oci:FOLDER' makes it)\n"
	"                                  into the store. Every digest is checked, and umoci "
	"unpacks it without\n"
	"                                  privilege, network or other places to write; device "
	"nodes, setuid bits and\n"
	"                                  capabilities are taken out. NAME means the new image "
	"from then on; agents\n"
	"                                  get it at their next start\n"
	"  image list                      every image, by its name\n"
	"  image rm NAME [--force]         forget the name, and the image with its last name. "
	"Checked: other names,\n"
	"                                  and whether an agent on this host runs in it (as "
	"root: every process can be\n"
	"                                  looked at); not checked: settings that speak of the "
	"name\n"
	"The store is MULTICLAW_STATE_DIR/images, or --images DIR. Not as root it works too, for "
	"a store of one's own."},
    {"status", cli_status, "status [--wait SECONDS] [--without SERVICE]",
	"Operators: every service, replica, lease and chain slot.",
	"With --wait: exit 0 as soon as every replica is ready, 4 if that does not happen in "
	"time.\n"
	"With --without: one service is not asked, such as a secret-vault that waits for its "
	"passphrase."},
    {"revoke", cli_revoke,
	"revoke [--wait] ASSET|JTI|WALLET | --all | --asset ADDRESS [--session JTI]",
	"Operators: end sessions.",
	"All of an asset, one, or all of a wallet's assets. --all ends every session there is (do "
	"this after putting back a Redis\n"
	"backup). --wait: return once every replica that lives has enforced it, what it runs and "
	"keeps open included, and say\n"
	"how long each took; exit 4 if one has not within 60 s, or if a sandbox or vault is silent "
	"('unlist' one that is no more)."},
    {"drill", cli_drill,
	"drill [--kill NAME] [--pause NAME[:MS]] [--chaos] | drill --read-only ...",
	"Operators: end sessions, take processes away meanwhile, measure who is still let in.",
	"  drill [OPTIONS]                 on a development chain alone (others are refused), "
	"beside a "
	"suite that deploy/run\n"
	"                                  runs. Makes two wallets and an asset of its own, and "
	"burns "
	"it at the end; no other\n"
	"                                  asset, wallet or session is touched. Each round: the "
	"asset goes to the other\n"
	"                                  wallet, whose owner signs in; the session of before "
	"must "
	"be over\n"
	"  drill --read-only --keypair FILE [--asset ADDRESS] [OPTIONS]\n"
	"                                  on any chain, also from outside: no transfers, no "
	"signals. Each round: a sign-in,\n"
	"                                  and the logout of that session alone (but of more than "
	"64 "
	"sessions of an asset the\n"
	"                                  oldest ends)\n"
	"Who is let in is asked at the edge (GET /v1/session at the public URL) and, on the "
	"suite's "
	"host, at each router's own\n"
	"socket, two requests at a time.\n"
	"  --kill NAME                     each round, kill -9: router-1, or router: every "
	"replica; "
	"redis, nginx. Repeatable\n"
	"  --pause NAME[:MS]               each round, stop it for so long (3000 ms; not nginx). "
	"Repeatable\n"
	"  --chaos                         each round one or two of router, auth, session, "
	"chain-oracle, redis, by chance\n"
	"  --rounds N, --seconds N         the end: 10 rounds, 300 s\n"
	"  --bound MS                      1000\n"
	"  --bound-unpushed MS             15000: the same in a round where pushes of the chain "
	"are "
	"known to be lost (every\n"
	"                                  oracle was taken away, or every node of the chain is "
	"mute)\n"
	"  --limit N                       30 s, of one round\n"
	"  --every MS                      5: between two requests of one line\n"
	"  --via HOST:PORT                 connect there in place of the public URL's host: to one "
	"proxy of several\n"
	"  --chain URL                     the development chain (default: the state folder's)\n"
	"A process is signalled only if it is what its pid file in the state folder says, and a "
	"child of that suite's deploy/run.\n"
	"What it counts:\n"
	"  event     a change that it made: a transfer, from when it was confirmed; or a logout, "
	"from when it was answered\n"
	"  enforced  a point refused for the first time, with 401 or 403\n"
	"  late      enforced later than the bound after the event; or after all that was taken "
	"away was back and ready, if\n"
	"            that came later\n"
	"  stale     an allow that should not be: asked for after that router had refused; or more "
	"than the bound after the\n"
	"            event (after Redis or the oracles were back, if those were taken away: nobody "
	"could know of it before); or\n"
	"            of a session that ended in the round before. At the edge, with several "
	"routers "
	"behind it, only the bound\n"
	"            counts: each may have its own moment within it\n"
	"  lost      never enforced until the round's limit\n"
	"  closed    answers that are neither: 503, 429. Nobody is let in, and nobody is wrong\n"
	"  silent    no answer within 2.5 s, as nginx waits for one\n"
	"Ctrl-C ends it, and what was seen so far is said.\n"
	"Exit status: 0 the promise was held: nothing late, stale or lost, and each new owner "
	"could "
	"sign in; 1 it was not;\n"
	"2 it could not run, or saw no event."},
    {"ban", cli_ban, "ban [--wait] WALLET",
	"Operators: no session of this wallet is good until 'unban'.", "--wait: as of 'revoke'."},
    {"unban", cli_unban, "unban [--wait] WALLET", "Operators: lift a ban.", NULL},
    {"unlist", cli_unlist, "unlist REPLICA",
	"Operators: a replica that is no more, nor is what it held, is not waited for.",
	"A sandbox or a vault that is silent stays listed, and keeps events open, until this is "
	"said of it. One that lives comes\n"
	"back by itself."},
    {"asset", cli_asset, "asset reset ADDRESS",
	"Operators: begin a poisoned ownership record anew.", NULL},
    {"keys", cli_keys, "keys init|rotate FOLDER | keys retire FOLDER KID",
	"Operators: make the suite's keys; change the session signing key.",
	"init makes what is missing and touches nothing that is there: a CURVE key per service and "
	"for the operator, the list\n"
	"of who is who, a Redis password and ACL per role, the session signing key, the vault's "
	"master key.\n"
	"In a folder of an older version, move curve/peers and redis/users.acl away first: they "
	"are made anew for the same keys.\n"
	"rotate adds a signing key that takes over in a minute; sessions signed by the old one "
	"stay good until they end.\n"
	"retire removes one: sessions signed by it end at once."},
    {"vault", cli_vault, "vault status | unseal | rotate | global | ...",
	"Operators: the vault's state, master key, global keys, audit trail.",
	"  vault status                    every vault: its state, master key, ownership periods, "
	"audit head\n"
	"  vault unseal [--adopt]          open a vault that waits for its passphrase; --adopt: "
	"its high-water\n"
	"                                  marks are new or lost, take the store's versions as "
	"they are\n"
	"  vault rotate [--new-key] [--key FILE]\n"
	"                                  change the master key: the next one is FILE.next (made "
	"with --new-key)\n"
	"                                  and takes FILE's place at the end (default: vault.key "
	"in MULTICLAW_KEYS);\n"
	"                                  or a new passphrase. After a crash give the same "
	"command again\n"
	"  vault new-key FILE              a new master key in a new file\n"
	"  vault global list|set|rm PROVIDER\n"
	"                                  keys that all agents may use through the gateway\n"
	"  vault destroy-owner --asset ADDRESS --wallet ADDRESS --yes\n"
	"                                  destroy what a wallet keeps for an asset\n"
	"  vault reinstate --asset ADDRESS --wallet ADDRESS\n"
	"                                  open what a wrong reading of the chain has locked\n"
	"  vault reset-breaker             let erasing go on\n"
	"  vault audit export              all audit chains as JSON lines; check them with 'audit "
	"verify'\n"
	"Passphrases and values come from standard input or are typed unseen."},
};

static void print_help(void)
{
	puts("multiclaw: whoever owns the NFT controls the agent.\n\nUsage: multiclaw [OPTIONS] "
	     "COMMAND\n\nCommands:");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-48s %s\n", commands[i].usage, commands[i].about);
	puts("\nOptions:\n"
	     "  --url URL        the service (default: MULTICLAW_PUBLIC_URL, the session's, "
	     "http://localhost:8080)\n"
	     "  --session FILE   the session file (default: MULTICLAW_SESSION_FILE, "
	     "~/.local/state/multiclaw/session.json)\n"
	     "  --json           one JSON document on standard output ('events': one a line); "
	     "errors stay text, on standard error\n"
	     "  -c FILE          operators: the suite's settings (default: "
	     "$MULTICLAW_STATE_DIR/conf/suite.conf,\n"
	     "                   .state/conf/suite.conf, /etc/multiclaw/suite.conf); may be "
	     "repeated\n"
	     "  --help, --version\n"
	     "\nExit status: 0 done; 1 refused or not found; 2 wrong usage; 3 not signed in, or no "
	     "longer; 4 not available now.\n"
	     "'multiclaw help COMMAND' says more.");
}

static const struct cli_command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int help(int argc, char **argv)
{
	const struct cli_command *command = argc > 1 ? find(argv[1]) : NULL;

	if (argc > 1 && !command)
		return cli_usage("there is no command '%s'", argv[1]);
	if (!command) {
		print_help();
		return CLI_OK;
	}
	printf("Usage: multiclaw %s\n\n%s\n", command->usage, command->about);
	if (command->help)
		printf("%s\n", command->help);
	return CLI_OK;
}

static void choose_session_path(struct cli *cli)
{
	const char *path = getenv("MULTICLAW_SESSION_FILE"), *base = getenv("XDG_STATE_HOME"),
		   *home = getenv("HOME");

	if (cli->session_path)
		return;
	if (path)
		snprintf(cli->session_path_buf, sizeof(cli->session_path_buf), "%s", path);
	else if (base && base[0] == '/')
		snprintf(cli->session_path_buf, sizeof(cli->session_path_buf),
		    "%s/multiclaw/session.json", base);
	else
		snprintf(cli->session_path_buf, sizeof(cli->session_path_buf),
		    "%s/.local/state/multiclaw/session.json", home ? home : "");
	cli->session_path = cli->session_path_buf;
}

static void choose_url(struct cli *cli, char *buf, size_t size)
{
	struct session_file file;
	struct error ignored;

	if (!cli->url)
		cli->url = getenv("MULTICLAW_PUBLIC_URL");
	if (!cli->url && session_file_read(cli->session_path, &file, &ignored) == 0)
		cli->url = file.url;
	snprintf(buf, size, "%s", cli->url ? cli->url : "http://localhost:8080");
	sodium_memzero(&file, sizeof(file));
	while (buf[0] && buf[strlen(buf) - 1] == '/')
		buf[strlen(buf) - 1] = '\0';
	cli->url = buf;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	const char *value;
	char url[256];
	struct error err;
	int i;

	heap_wipe_freed();
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatal("cannot initialise the cryptographic library");
	/* wallets' keys and tokens are in here: no core dump, no tracing */
	if (confine_early(&err) < 0)
		return cli_fail(&err);
	log_open("multiclaw", NULL, LOG_WARN);
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if ((value = cli_option("--url", argc, argv, &i)))
			cli.url = value;
		else if ((value = cli_option("--session", argc, argv, &i)))
			cli.session_path = value;
		else if ((value = cli_option("-c", argc, argv, &i)) &&
			 cli.nconf < ARRAY_LEN(cli.conf))
			cli.conf[cli.nconf++] = value;
		else if (strcmp(argv[i], "--json") == 0)
			cli.json = true;
		else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
			return puts("multiclaw " MULTICLAW_VERSION) < 0;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help(1, argv);
		else
			return cli_usage("what is '%s'?", argv[i]);
	}
	if (i == argc) {
		print_help();
		return CLI_USAGE;
	}
	/* options may also follow the command */
	int kept = i + 1;
	bool is_rest = false;
	for (int at = i + 1; at < argc; at++) {
		if (is_rest || strcmp(argv[at], "--") == 0) {
			/* a program's own, for 'agent exec' */
			is_rest = true;
			argv[kept++] = argv[at];
		} else if (strcmp(argv[at], "--json") == 0)
			cli.json = true;
		else if (strcmp(argv[at], "--help") == 0)
			return help(2, argv + i - 1);
		else if ((value = cli_option("--url", argc, argv, &at)))
			cli.url = value;
		else
			argv[kept++] = argv[at];
	}
	argc = kept;
	if (strcmp(argv[i], "help") == 0)
		return help(argc - i, argv + i);
	const struct cli_command *command = find(argv[i]);
	if (!command)
		return cli_usage("there is no command '%s'", argv[i]);
	choose_session_path(&cli);
	choose_url(&cli, url, sizeof(url));
	return command->run(&cli, argc - i, argv + i);
}
