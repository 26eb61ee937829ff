//! Errors of invalid tables: each names the line, and what to write instead.

use crate::table::Table;

fn error_of(text: &str) -> String {
    match Table::from_toml(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn invalid_tables_have_helpful_errors() {
    let mut wrong = Vec::new();
    for (text, message) in [
        (
            "unlistd = \"pass\"",
            "line 1: unknown field `unlistd`; did you mean `unlisted`?",
        ),
        (
            "[[route]]\npath = \"/a\"\n\n[[route]]\npath = \"/b\"\nscop = \"public\"",
            "line 6: unknown field `scop`; did you mean `scope`?",
        ),
        (
            "unlisted = \"none\"",
            "line 1: unknown variant `none`, expected one of `explicit`, `standard`, `pass`",
        ),
        (
            "\n[ttl]\nengagement = \"soon\"",
            "line 3: \"soon\" is not a duration; write \"30m\", \"1h30m\", \"50ms\" or a whole number of seconds (units: d, h, m, s, ms)",
        ),
        ("[ttl]\na = -1", "line 2: -1 is negative"),
        (
            "[[value]]\nkey = \"quote:*\"\nttl = \"5m\"\nrefresh_ahead = \"5m\"",
            "line 4: value \"quote:*\", refresh_ahead: 5m must be shorter than the TTL of 5m; write less, or give the value a longer `ttl`",
        ),
        (
            "[[value]]\nkey = \"quote:*\"\nplain = true\nstale_if_error = \"5m\"",
            "line 4: value \"quote:*\", stale_if_error: bare JSON expires at its TTL and does not tell how it was made; leave it out, write `refresh_ahead` instead, or leave out `plain`",
        ),
        (
            "[ttl]\na = 1.5",
            "line 2: invalid value: floating point `1.5`, expected a duration or \"never\"",
        ),
        (
            "[ttl]\nmax = 0",
            "line 2: [ttl] max: must be finite and greater than 0; write \"30d\"",
        ),
        (
            "[ttl]\nmax = \"never\"",
            "line 2: [ttl] max: must be finite and greater than 0; write \"30d\"",
        ),
        (
            "[ttl]\njitter = \"200%\"",
            "line 2: \"200%\" is not a fraction or percentage; write \"10%\" or 0.1",
        ),
        (
            "[ttl]\njitter = 1.5",
            "line 2: [ttl] jitter: must be between 0 % and 100 %; write \"10%\" or 0.1",
        ),
        (
            "[ttl]\n\n\"a::b\" = 1",
            "line 3: [ttl] a::b: \"a::b\" is not an entity; write literal segments joined by `:`",
        ),
        (
            "[ttl]\n\"a:{id}\" = 1",
            "line 2: [ttl] a:{id}: \"a:{id}\" is not an entity",
        ),
        (
            "namespace = \"a b\"",
            "line 1: namespace: \"a b\" is not a namespace; write letters",
        ),
        (
            "[local]\nsize = \"64mib\"",
            "line 2: \"64mib\" is not a size; write \"64MiB\", \"1MB\" or a whole number of bytes",
        ),
        (
            "[store]\njournal_size = \"512KiB\"",
            "line 2: [store] journal_size: must be at least 1 MiB; write \"16MiB\"",
        ),
        (
            "[local]\nfill_buffer = 0",
            "line 2: [local] fill_buffer: must be greater than 0; write \"64MiB\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\nvary = [\"*\"]",
            "line 4: route \"/a\", vary: \"*\" is not a field name, and a response that varies by everything is never stored; write the names of request fields",
        ),
        (
            "[store]\ndeadline = 0",
            "line 2: [store] deadline: must be greater than 0; write \"50ms\"",
        ),
        (
            "[identity]\nip_header = \"x-real-ip\"\ntrusted_proxies = [\"10.0.0.0/33\"]",
            "line 3: [identity] trusted_proxies: \"10.0.0.0/33\" is not a CIDR block; write \"10.0.0.0/8\" or \"2001:db8::/32\"",
        ),
        (
            "[identity]\n\ntrusted_proxies = [\"10.0.0.0/8\"]",
            "line 3: [identity] trusted_proxies: needs the field in which these proxies write the client's address; write ip_header = \"x-forwarded-for\" (nginx,",
        ),
        (
            "[identity]\ncredentials = [\"x-shop\", \"x session\"]",
            "line 2: [identity] credentials: \"x session\" is not the name of a field or a query parameter; write one, for example \"x-session\"",
        ),
        (
            "[identity]\nheader = \"x user\"",
            "line 2: [identity] header: \"x user\" is not a field name; write one, for example \"x-user-id\"",
        ),
        (
            "[[route]]\npath = \"/a/{id}\"\nkey = \"a:{id}\"\n\n[[route]]\nkey = \"b:{x}\"\npath = \"/a/{x}\"",
            "line 7: route \"/a/{x}\", path: the route \"/a/{id}\" serves this path already; merge them, or give them different hosts",
        ),
        (
            "[[route]]\npath = \"/a/{id}\"\nkey = \"a:{idd}\"",
            "line 3: route \"/a/{id}\", key: {idd} in \"a:{idd}\" is not a parameter of the path; did you mean {id}?",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:{id}\"",
            "line 3: route \"/a\", key: {id} in \"a:{id}\" is not a parameter of the path; add it to the path, or write {query.NAME}",
        ),
        (
            "[ttl]\na = \"5m\"\n[[route]]\npath = \"/a\"\nkey = \"a:x\"\nrefresh_ahead = \"5m\"",
            "line 6: route \"/a\", refresh_ahead: 5m must be shorter than the TTL of 5m; write less",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:{answer.id}\"",
            "line 3: route \"/a\", key: {answer.id} in \"a:{answer.id}\": a field of the response cannot be part of a key",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\ntags = [\"l:{header.x-lang}\"]",
            "line 4: route \"/a\", tags: \"l:{header.x-lang}\" uses a value that is not part of the key, so another request could choose it; write vary = [\"x-lang\"], or add {header.x-lang} to the key",
        ),
        (
            "[[route]]\npath = \"/a/{id}\"\nkey = \"a\"\nignore_path = [\"id\"]\ntags = [\"l:{id}\"]",
            "line 5: route \"/a/{id}\", tags: \"l:{id}\" uses a value that is not part of the key",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\nquery = [\"page\"]\ntags = [\"l:{query.sort}\"]",
            "line 5: route \"/a\", tags: \"l:{query.sort}\" uses a value that is not part of the key, so another request could choose it; add \"sort\" to `query`",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\ntags = [\"u:{user}\"]",
            "line 4: route \"/a\", tags: \"u:{user}\" uses a value that is not part of the key, so another request could choose it; write scope = \"user\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\ninvalidates = [\"l:{header.x}\"]",
            "line 4: route \"/a\", invalidates: \"l:{header.x}\" uses a value that is not part of the key",
        ),
        (
            "[[route]]\npath = \"a/{id}\"",
            "line 2: route \"a/{id}\", path: \"a/{id}\" does not begin with a slash; write \"/a/{id}\"",
        ),
        (
            "[[route]]\npath = \"/a/{id\"",
            "line 2: route \"/a/{id\", path: \"/a/{id\" has an unmatched brace",
        ),
        (
            "[[route]]\npath = \"/a/{id}x\"",
            "line 2: route \"/a/{id}x\", path: \"/a/{id}x\": only one parameter is allowed per path segment",
        ),
        (
            "[[route]]\npath = \"/{*a}/b\"",
            "line 2: route \"/{*a}/b\", path: \"/{*a}/b\": catch-all parameters are only allowed at the end",
        ),
        (
            "[[route]]\npath = \"/{a}/{a}\"",
            "line 2: route \"/{a}/{a}\", path: \"/{a}/{a}\" has two parameters \"a\"",
        ),
        (
            "[[route]]\nkey = \"a\"",
            "line 1: missing field `path`; write path = \"/engagements/{id}\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a::b\"",
            "line 3: route \"/a\", key: \"a::b\" has an empty segment",
        ),
        (
            "[[route]]\npath = \"/{id}\"\nkey = \"{id}\"",
            "line 3: route \"/{id}\", key: \"{id}\" does not begin with a literal segment",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a*\"",
            "line 3: route \"/a\", key: '*' in \"a*\" is reserved",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"url:a\"",
            "line 3: route \"/a\", key: keys that begin with `url`",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:{query}\"",
            "line 3: route \"/a\", key: {query} in \"a:{query}\" is too long for a key; write \"{#query}\", its hash",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:{body}\"",
            "line 3: route \"/a\", key: {body} in \"a:{body}\" is too long for a key; write \"{#body}\", its hash",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:x\"\ntags = [\"a:{query}\"]",
            "line 4: route \"/a\", tags: {query} in \"a:{query}\" is too long for a tag; write \"{#query}\", its hash",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:x\"\ntags = [\"a:{body}\"]",
            "line 4: route \"/a\", tags: {body} in \"a:{body}\": only a key may contain a hash of the body; leave it out",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:x\"\ninvalidates = [\"a:{query}\"]",
            "line 4: route \"/a\", invalidates: {query} in \"a:{query}\" is too long for the name of a key or tag; write \"{#query}\", its hash",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:x\"\ninvalidates = [\"a:{body}\"]",
            "line 4: route \"/a\", invalidates: {body} in \"a:{body}\": only a key may contain a hash of the body; leave it out",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:{header.x y}\"",
            "line 3: route \"/a\", key: \"x y\" in \"a:{header.x y}\" is not a field name; write one, for example {header.accept-language}",
        ),
        (
            "[[route]]\npath = \"/{user}\"\nkey = \"a:{user}\"",
            "line 3: route \"/{user}\", key: {user} in \"a:{user}\" means the request's user",
        ),
        (
            "[[route]]\npath = \"/a\"\nquery = [\"a\"]\nignore_query = [\"b\"]",
            "line 4: route \"/a\", ignore_query: `query` already names",
        ),
        (
            "[[route]]\npath = \"/a\"\nignore_query = [\"a*b\"]",
            "line 3: route \"/a\", ignore_query: \"a*b\" has a `*` before its end; write \"utm_*\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nnegative = { 200 = \"1s\" }",
            "line 3: route \"/a\", negative: 200 is not the status of a redirection or an error",
        ),
        (
            "[[route]]\npath = \"/a\"\nnegative = { 429 = \"1s\" }",
            "line 3: route \"/a\", negative: 429 concerns one request or client, not the path, so it must not answer others; remove it, or write 404",
        ),
        (
            "[[route]]\npath = \"/a\"\nnegative = { x = \"1s\" }",
            "line 3: \"x\" is not a status; write 404",
        ),
        (
            "[[route]]\npath = \"/a\"\nnegative = 10",
            "line 3: invalid type: integer `10`, expected a map; write { 404 = \"10s\" }",
        ),
        (
            "[[route]]\npath = \"/a\"\nsafe_methods = [\"post\"]",
            "line 3: route \"/a\", safe_methods: \"post\" is not a method; write \"POST\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nhost = [\"http://a/\"]",
            "line 3: route \"/a\", host: \"http://a/\" is not an authority; write \"api.example.com\"",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = 0",
            "line 4: limit \"a\", window: a window of 0ns is out of range",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = \"367d\"",
            "line 4: limit \"a\", window: a window of",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = 1\nby = \"usr\"",
            "line 5: \"usr\" is not a subject to count by; write \"user\", \"ip\", \"route\" or \"header:NAME\"",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = 1\nby = []",
            "line 5: limit \"a\", by: the list is empty",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 99999999999999999999\nwindow = 1",
            "line 3: ",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 9000000000000000000\nwindow = 1",
            "line 3: limit \"a\", limit: more than 1000000000000 cannot be counted exactly",
        ),
        (
            "[[limit]]\nname = \"a:b\"\nlimit = 1\nwindow = 1",
            "line 2: limit \"a:b\", name: \"a:b\" is not a valid name",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = 1\nexempt = [\"ip:10.0.0.0/99\"]",
            "line 5: limit \"a\", exempt: \"10.0.0.0/99\" is not a CIDR block",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = 1\nrefund_on = [\"6xx\"]",
            "line 5: limit \"a\", refund_on: \"6xx\" is not a status; write \"5xx\" or \"404\"",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = 1\ncost = \"many\"",
            "line 5: invalid value: string \"many\", expected a whole number or \"header:NAME\"",
        ),
        (
            "[ttl]\n\nengagement:status = 60",
            "line 3: invalid unquoted key, expected letters, numbers, `-`, `_`; write \"engagement:status\" in quotes",
        ),
        (
            "[ttl.agent]\nstatus = 60",
            "line 1: invalid type: map, expected a duration or \"never\"; write one name with colons, in quotes",
        ),
        (
            "[ttl]\na = true",
            "line 2: invalid type: boolean `true`, expected a duration or \"never\"; write \"30m\" or a whole number of seconds",
        ),
        (
            "[local]\nsize = true",
            "line 2: invalid type: boolean `true`, expected a size; write \"64MiB\" or a whole number of bytes",
        ),
        (
            "[store]\nurl = \"redis://a\"",
            "line 2: unknown field `url`; the address of Redis does not belong in the table; write RedisStore::connect(",
        ),
        (
            "namespace = 5",
            "line 1: invalid type: integer `5`, expected a string; write \"5\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\ninvalidates = \"a:*\"",
            "line 4: invalid type: string \"a:*\", expected a sequence; write [\"a:*\"]",
        ),
        (
            "[[route]]\npath = \"/a\"\nbefore = \"yes\"",
            "line 3: invalid type: string \"yes\", expected a boolean; write true or false, without quotes",
        ),
        (
            "[[route]]\npath = \"/a\"\nscope = \"private\"",
            "line 3: unknown variant `private`; write \"user\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nmethod = \"POST\"",
            "line 3: unknown field `method`; write methods = [\"POST\"] for a limit, safe_methods",
        ),
        (
            "[[route]]\npath = \"/a/:id\"\nkey = \"a:{id}\"",
            "line 2: route \"/a/:id\", path: \"/a/:id\" has no parameter, and matches only this literal path; write \"/a/{id}\"",
        ),
        (
            "[[route]]\npath = \"/a/*files\"",
            "line 2: route \"/a/*files\", path: \"/a/*files\" has no parameter, and matches only this literal path; write \"/a/{*files}\"",
        ),
        (
            "[limit]\nname = \"a\"\nlimit = 1\nwindow = 1",
            "line 1: invalid type: map, expected a sequence; write [[limit]]",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = \"100\"\nwindow = 1",
            "line 3: invalid type: string \"100\", expected a whole number; write 100, without quotes",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = -1\nwindow = 1",
            "line 3: invalid value: integer `-1`, expected a whole number; write 0 or more, as 100",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1",
            "line 1: missing field `window`; write window = \"1m\"",
        ),
        (
            "[[limit]]\nname = \"a\"\nlimit = 1\nper = \"1m\"",
            "line 4: unknown field `per`; write window = \"1m\"",
        ),
        (
            "[[limit]]\nname = \"a\"\npath = \"/*\"\nlimit = 1\nwindow = 1",
            "line 3: limit \"a\", path: \"/*\" has no parameter, and matches only this literal path; write \"/{*rest}\"",
        ),
        ("a = ", "line 1: "),
        ("[ttl]\na = 1\na = 2", "line 3: duplicate key"),
    ] {
        let error = error_of(text);
        if !error.starts_with(message) {
            wrong.push(format!("{text}\n  is: {error}\n  not: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_nearest_name_is_suggested() {
    for (text, name) in [
        (
            "[[route]]\npath = \"/a\"\nrefresh_ahed = 1",
            "refresh_ahead",
        ),
        ("[[limit]]\nwindw = 1", "window"),
        ("[identity]\ntrusted_proxy = []", "trusted_proxies"),
        ("[identity]\ncredential = []", "credentials"),
        ("[store]\nmaxlag = 1", "max_lag"),
        ("[[route]]\npath = \"/a\"\nscope = \"publc\"", "public"),
    ] {
        let error = error_of(text);
        assert!(
            error.ends_with(&format!("did you mean `{name}`?")),
            "{error}"
        );
    }
    assert!(!error_of("zzzzzzzz = 1").contains("did you mean"));
}

#[test]
fn a_keep_rejects_an_invalid_table() {
    use crate::{
        keep::handle::Keep,
        table::{Limit, Route, mins},
    };
    let invalid = [
        Table::new().route(Route::new("/bad").key("a:{none}")),
        Table::new().limit(Limit::new("bad", 1, mins(0))),
    ];
    let keep = Keep::default();
    for table in invalid {
        let error = Keep::new(table.clone()).expect_err("an invalid table");
        assert_eq!(
            error.to_string(),
            table.validate().expect_err("the same").to_string()
        );
        assert!(keep.reload(&table).is_err());
    }
}
