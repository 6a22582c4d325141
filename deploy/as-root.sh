# Sourced by deploy/run when it is root: the users that the daemons become, what belongs to whom, and what two suites of one host must not share.
# It uses $state, $root, say and die of deploy/run. Owners and modes are those of deploy/systemd, read from its files.

systemd=$root/deploy/systemd
claims=/run/multiclaw
human=${SUDO_UID:-0} # who typed sudo: wallets, the operator's key and the sockets are for them

mkdir -p -m 0755 $claims || die "cannot make $claims"
locked() { (flock 9 && "$@") 9>$claims/lock; }

# ---- users

# Redis and the development chain have users that only this script knows: production's Redis brings its own, and there is no such chain.
make_users() {
	local users user of gid known made=
	mapfile -t users < <(awk '$1 == "u" && $3 == "-:multiclaw" { print $2 }' "$systemd/multiclaw.sysusers.conf")
	users+=(multiclaw-redis multiclaw-devchain)
	getent group multiclaw >/dev/null || { groupadd --system multiclaw && made+=" multiclaw (group)"; } || return 1
	IFS=: read -r _ _ gid _ < <(getent group multiclaw)
	known=$'\n'$(getent passwd "${users[@]}")
	for user in "${users[@]}"; do
		of=${known#*$'\n'"$user":}
		if [ "$of" = "$known" ]; then
			useradd --system --gid multiclaw --home-dir /var/lib/multiclaw --no-create-home --shell /usr/sbin/nologin "$user" || return 1
			made+=" $user"
		else
			# of a name like ours that somebody made with a group of its own
			IFS=: read -r _ _ of _ <<<"$of"
			[ "$of" = "$gid" ] || usermod --gid multiclaw "$user" || return 1
		fi
	done
	# those that share nothing with the daemons
	for user in $(awk '$1 == "u" && $3 == "-" { print $2 }' "$systemd/multiclaw.sysusers.conf"); do
		getent passwd "$user" >/dev/null && continue
		useradd --system --user-group --home-dir / --no-create-home --shell /usr/sbin/nologin "$user" || return 1
		made+=" $user"
	done
	[ -z "$made" ] || say "made the users      ${made# }"
}

as_user() { # user: what to put before a program that does not change its user by itself
	printf %s "--reuid $1 --regid multiclaw --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
}

# Sockets, SQLite's files and nginx's working directory are found by their whole path.
check_way() {
	local folder=$state shut=
	# shellcheck disable=SC2046 # a list of words
	setpriv $(as_user multiclaw-router) -- test -x "$state/." && return
	while [ "$folder" != / ]; do
		folder=$(dirname "$folder")
		[ $((0$(stat -c %a "$folder") & 1)) = 1 ] || shut=$folder
	done
	die "the daemons' users cannot pass through ${shut:-a folder above $state}: chmod o+x it, or set MULTICLAW_STATE_DIR to a folder elsewhere (/var/lib/multiclaw)"
}

# ---- owners

# By owner and by mode, so that it takes few processes. Paths are relative to the state folder, and have no spaces.
declare -A owned=() owned_whole=() moded=()
plan() { # type path mode user group
	if [ "$1" = d ]; then folders+=" $2"; elif [ ! -e "$2" ]; then return; fi
	# a daemon's own folder goes to it with what is in it: an earlier run may have been somebody else's
	if [ "$1$3" = d0700 ] && [ "$4" != root ]; then owned_whole[$4:$5]+=" $2"; else owned[$4:$5]+=" $2"; fi
	moded[$3]+=" $2"
}

# shellcheck disable=SC2086 # lists of words
own_files() {
	local type path mode user group rest folders= key
	while read -r type path mode user group rest; do
		path=${path#/var/lib/multiclaw}
		# no systemd here that would hand the master key on, and the state folder is below
		case $type$path in [dz]/keys/vault.key | d) ;; [dz]/*) plan "$type" "${path#/}" "$mode" "$user" "$group" ;; esac
	done <"$systemd/multiclaw.tmpfiles.conf"
	plan d . 0711 root root
	plan z keys/vault.key 0600 multiclaw-secret-vault multiclaw
	plan z keys/vault.key.next 0600 multiclaw-secret-vault multiclaw
	plan z keys/store.id 0600 multiclaw-snapshot-store multiclaw
	plan z keys/store.secret 0600 multiclaw-snapshot-store multiclaw
	plan z keys/redis/users.acl 0600 multiclaw-redis multiclaw
	plan d redis 0700 multiclaw-redis multiclaw
	plan d chain 0700 multiclaw-devchain multiclaw
	plan d conf 0750 root multiclaw
	plan d log 0700 root root
	plan d nginx 0710 root multiclaw
	plan d nginx/tmp 0710 root multiclaw
	mkdir -p $folders || return 1
	for key in "${!owned_whole[@]}"; do chown -RhP "$key" ${owned_whole[$key]} || return 1; done
	for key in "${!owned[@]}"; do chown -h "$key" ${owned[$key]} || return 1; done
	for key in "${!moded[@]}"; do chmod "$key" ${moded[$key]} || return 1; done
}

# ---- the human

# For commands without sudo: x to pass, rwx (by default, so that it holds for what is made later) to connect to a socket.
share_with_human() {
	[ "$human" != 0 ] || return 0
	chown "$human" keys/curve/operator.key
	chmod 0640 conf/suite.conf
	{ setfacl -m "u:$human:x" keys keys/curve conf chain && setfacl -m "u:$human:r" keys/curve/peers conf/suite.conf &&
		setfacl -m "u:$human:rx" log run && setfacl -d -m "u:$human:r" log && setfacl -d -m "u:$human:rwx" run; } ||
		say "no access lists here: the command line needs sudo (see $state/log)"
}

# The development chain writes them as its own.
share_chain() {
	chown -RhP "$human" chain/wallets || die "cannot give the demo wallets to user $human"
	# shellcheck disable=SC2046 # a list of words
	[ "$human" = 0 ] || setpriv $(as_user multiclaw-devchain) -- chmod 0644 chain/demo.json chain/ports.json
}

# ---- names and addresses of this host

# A claim names a state folder. It is free when nobody runs there any more and warden's table went as well: what a killed warden left
# belongs to the next start with that folder.
claim_is_free() { # prefix
	local owner
	owner=$(cat "$claims/$1" 2>/dev/null) && [ "$owner" = "$state" ] && return 0
	[ -z "$owner" ] || [ ! -d "$owner" ] || flock -n "$owner" true || return 1
	[ -n "$owner" ] && [ ! -d "$owner" ] || ! nft list table inet "$1_agents" >/dev/null 2>&1
}

host_default="mc 10.213.0.0/16 1073741824"

# The checkout's own state folder has the default prefix, network and first user id; every other has a 32nd of another network, and ids of its own: as many
# ranges as addresses, beyond those of the default network.
claim_host() {
	local first i n prefix
	prefix=$(grep -lsxF -- "$state" $claims/mc $claims/t? | head -n 1)
	prefix=${prefix##*/}
	if [ -z "$prefix" ] && [ "$state" = "$root/.state" ] && claim_is_free mc; then prefix=mc; fi
	first=$(printf %s "$state" | cksum | cut -d ' ' -f 1)
	for ((i = 0; i < 16 && ${#prefix} == 0; i++)); do
		n=$(printf %x $(((first + i) % 16)))
		if claim_is_free "t$n"; then prefix=t$n; fi
	done
	[ -n "$prefix" ] || return 1
	printf '%s\n' "$state" >"$claims/$prefix"
	[ "$prefix" != mc ] || { echo "$host_default" && return; }
	n=$((16#${prefix#t}))
	echo "$prefix 10.214.$((n * 8)).0/21 $((3221225472 + n * 1024 * 65536))"
}

# Once warden has ended: its rules hold for links that are there, and only then must stay.
release_host() { # prefix
	! ip -br link | grep -q "^$1" || return 0
	nft delete table inet "$1_agents" 2>/dev/null
	[ "$(cat "$claims/$1" 2>/dev/null)" != "$state" ] || rm -f "$claims/$1"
}
