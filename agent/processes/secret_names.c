#include "agent/processes/secret_names.h"

#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 128
#define RUN_MIN 32   /* of hex or base64: no word of a language is as long */
#define MIXED_MIN 16 /* in it, without a separator, capitals, small letters and digits together: no path is so */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_upper(c) || is_digit(c);
}

static bool ends_in(const char *text, size_t len, const char *end)
{
	size_t n = strlen(end);
	return len >= n && memcmp(text + len - n, end, n) == 0;
}

/* One part of a name between separators: too short to be looked for inside words ("author", "compass"). */
static bool is_secret_part(const char *part, size_t len)
{
	static const char *const parts[] = {"auth", "oauth", "pass", "pwd", "psk", "pw", "creds", "cred", "sas", "otp"};
	for (size_t i = 0; i < COUNT(parts); i++) {
		if (len == strlen(parts[i]) && strncasecmp(part, parts[i], len) == 0)
			return true;
	}
	return false;
}

static bool has_secret_part(const char *name, size_t len)
{
	size_t begin = 0;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && is_alnum(name[i]))
			continue;
		if (is_secret_part(name + begin, i - begin))
			return true;
		begin = i + 1;
	}
	return false;
}

bool secret_name(const char *name, size_t len)
{
	static const char *const inside[] = {
		"password", "passwd",	     "passphrase", "passcode",	 "secret",     "token",
		"apikey",   "credential",    "privatekey", "accesskey",	 "authkey",    "authorization",
		"cookie",   "encryptionkey", "sharedkey",  "accountkey", "signingkey", "masterkey",
		"authpass", "requirepass",   "userpass",   "dbpass",	 "sessionkey", "connectionstring",
		"passin",   "passout",
	};
	/* Where it lies is no secret; "--no-password" takes no value. */
	static const char *const harmless_ends[] = {"file", "path", "dir", "directory"};
	char plain[NAME_MAX_LEN + 1];
	size_t n = 0;
	/* Of a name that is longer the end counts. */
	if (len > NAME_MAX_LEN) {
		name += len - NAME_MAX_LEN;
		len = NAME_MAX_LEN;
	}
	for (size_t i = 0; i < len; i++) {
		if (is_alnum(name[i]))
			plain[n++] = is_upper(name[i]) ? (char)(name[i] - 'A' + 'a') : name[i];
	}
	plain[n] = '\0';
	for (size_t i = 0; i < COUNT(harmless_ends); i++) {
		if (ends_in(plain, n, harmless_ends[i]))
			return false;
	}
	for (size_t i = 0; i < COUNT(inside); i++) {
		if (strstr(plain, inside[i]))
			return true;
	}
	return has_secret_part(name, len);
}

bool secret_scheme(const char *word, size_t len)
{
	static const char *const schemes[] = {"bearer", "basic", "digest", "negotiate", "apikey", "token"};
	for (size_t i = 0; i < COUNT(schemes); i++) {
		if (len == strlen(schemes[i]) && strncasecmp(word, schemes[i], len) == 0)
			return true;
	}
	return false;
}

static size_t run_of(const char *text, size_t len, const char *beside)
{
	size_t n = 0;
	while (n < len && (is_alnum(text[n]) || (text[n] != '\0' && strchr(beside, text[n]))))
		n++;
	return n;
}

static size_t known_token(const char *text, size_t len)
{
	static const struct {
		const char *prefix;
		size_t min; /* of the whole */
	} known[] = {
		{"AKIA", 16},	  {"ASIA", 16},	 {"eyJ", 20},	      {"ghp_", 16},   {"gho_", 16},
		{"ghu_", 16},	  {"ghs_", 16},	 {"ghr_", 16},	      {"glpat-", 16}, {"xoxb-", 16},
		{"xoxp-", 16},	  {"xapp-", 16}, {"github_pat_", 20}, {"sk-", 20},    {"sk_live_", 16},
		{"rk_live_", 16}, {"AIza", 30},	 {"hvs.", 16},	      {"npm_", 30},   {"dckr_pat_", 20},
		{"pypi-", 30},
	};
	size_t run = run_of(text, len, "_-.+/=");
	for (size_t i = 0; i < COUNT(known); i++) {
		size_t n = strlen(known[i].prefix);
		if (run >= known[i].min && memcmp(text, known[i].prefix, n) == 0)
			return run;
	}
	return 0;
}

/* Whether the run holds a part without separators that is long and mixed enough. */
static bool is_random(const char *run, size_t len)
{
	size_t begin = 0;
	bool lower = false, upper = false, digit = false;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && (is_alnum(run[i]) || run[i] == '+')) {
			lower = lower || is_lower(run[i]);
			upper = upper || is_upper(run[i]);
			digit = digit || is_digit(run[i]);
			continue;
		}
		size_t n = i - begin;
		if ((n >= MIXED_MIN && lower && upper && digit) || (n >= RUN_MIN && digit))
			return true;
		begin = i + 1;
		lower = upper = digit = false;
	}
	return false;
}

size_t secret_token(const char *text, size_t len)
{
	size_t run = known_token(text, len);
	if (run > 0)
		return run;
	run = run_of(text, len, "+/_-");
	if (run < RUN_MIN || !is_random(text, run))
		return 0;
	while (run < len && text[run] == '=')
		run++;
	return run;
}

const struct secret_program *secret_program(const char *word, size_t len)
{
	static const struct secret_program programs[] = {
		{"mysql", "p", true},
		{"mysqldump", "p", true},
		{"mysqladmin", "p", true},
		{"mysqlimport", "p", true},
		{"mysqlshow", "p", true},
		{"mysqlcheck", "p", true},
		{"mysqlpump", "p", true},
		{"mysqlslap", "p", true},
		{"mysqlbinlog", "p", true},
		{"mariadb", "p", true},
		{"mariadb-dump", "p", true},
		{"mariadb-admin", "p", true},
		{"mariadb-check", "p", true},
		{"xtrabackup", "p", true},
		{"mytop", "p", true},
		{"7z", "p", true},
		{"7za", "p", true},
		{"7zz", "p", true},
		{"rar", "p", true},
		{"unrar", "p", true},
		{"sshpass", "p", false},
		{"mongo", "p", false},
		{"mongosh", "p", false},
		{"mongodump", "p", false},
		{"mongorestore", "p", false},
		{"mongoexport", "p", false},
		{"mongoimport", "p", false},
		{"redis-cli", "a", false},
		{"valkey-cli", "a", false},
		{"ldapsearch", "w", false},
		{"ldapmodify", "w", false},
		{"ldapadd", "w", false},
		{"ldapdelete", "w", false},
		{"ldapwhoami", "w", false},
		{"curl", "uU", false},
		{"sqlcmd", "P", false},
		{"bcp", "P", false},
		{"zip", "P", false},
		{"unzip", "P", false},
		{"ipmitool", "P", false},
		{"rdesktop", "p", false},
		{"login", "p", false},
		{"smbclient", "U", false},
		{"snmpwalk", "cAXa", false},
		{"snmpget", "cAXa", false},
		{"mosquitto_pub", "P", false},
		{"mosquitto_sub", "P", false},
		{"lftp", "u", false},
	};
	const char *slash = memrchr(word, '/', len);
	if (slash) {
		len -= (size_t)(slash + 1 - word);
		word = slash + 1;
	}
	for (size_t i = 0; i < COUNT(programs); i++) {
		if (len == strlen(programs[i].name) && memcmp(word, programs[i].name, len) == 0)
			return &programs[i];
	}
	return NULL;
}
