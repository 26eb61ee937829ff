use super::{only, proxy};
use crate::examples::{
    exchange::{get, request},
    program::Program,
    raw_origin::RawOrigin,
};

const FRESH: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\nX: 1\r\n\r\nok";

#[test]
fn a_fresh_response_is_not_fetched_again() {
    let origin = RawOrigin::responding(FRESH);
    let proxy = proxy(&origin);
    let first = get(proxy.address, "/page?a=1");
    let second = get(proxy.address, "/page?a=1");
    assert!(
        second
            .field("cache-status")
            .is_some_and(|status| status.contains("; hit")),
        "{}",
        second.text
    );
    assert_eq!(
        (second.body(), second.field("x"), second.field("date")),
        ("ok", Some("1"), first.field("date"))
    );
    assert_eq!(second.all("via"), ["1.1 tower-keep"]);
    let _ = only(&origin);

    get(proxy.address, "/page?a=2");
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn without_a_table_only_explicitly_fresh_responses_are_stored() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = proxy(&origin);
    get(proxy.address, "/");
    get(proxy.address, "/");
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn a_table_decides_what_is_stored() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("table.toml");
    let table = "[ttl]\npage = 60\n[[route]]\npath = \"/pages/{id}\"\nkey = \"page:{id}\"\nscope = \"public\"\n";
    std::fs::write(&file, table).expect("it can be written");
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    );
    let flags = [
        "--origin",
        &origin.url(),
        "--table",
        file.to_str().expect("a path that is text"),
    ];
    let proxy = Program::start("proxy", &flags);
    get(proxy.address, "/pages/1");
    get(proxy.address, "/pages/1");
    let _ = only(&origin);
}

#[test]
fn a_field_removed_by_the_proxy_selects_no_variant() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\nVary: Accept-Language\r\n\r\nok",
    );
    let proxy = proxy(&origin);
    // This response has no language; a request for German must not get it.
    request(
        proxy.address,
        "GET",
        "/",
        "Connection: accept-language\r\nAccept-Language: de\r\n",
    );
    request(proxy.address, "GET", "/", "Accept-Language: de\r\n");
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn connection_options_cannot_remove_no_store() {
    // RFC 9110, 7.6.1: fields for all recipients must not be named in Connection.
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nConnection: close, cache-control, vary\r\nCache-Control: no-store\r\nVary: x\r\n\
         Last-Modified: Tue, 01 Jan 2019 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = proxy(&origin);
    for _ in 0..2 {
        let response = get(proxy.address, "/");
        assert_eq!(response.field("cache-control"), Some("no-store"));
        assert_eq!(response.field("vary"), Some("x"));
    }
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn a_response_that_broke_off_is_not_stored() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\nhello",
    );
    let proxy = proxy(&origin);
    for asked in 1..3 {
        assert!(get(proxy.address, "/").body().len() < 10);
        assert_eq!(origin.received().len(), asked);
    }
}
