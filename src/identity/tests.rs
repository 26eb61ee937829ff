use std::net::IpAddr;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{
    address::{client_ip, truncate},
    plan::IdentityPlan,
    user::{UserId, user},
};

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a value"),
            )
        })
        .collect()
}

fn behind_proxies() -> IdentityPlan {
    IdentityPlan {
        trusted_proxies: ["10.0.0.0/8", "2001:db8:ffff::/48"]
            .map(|n| n.parse().expect("a net"))
            .into(),
        ..IdentityPlan::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn client(peer: &str, lines: &[(&'static str, &str)]) -> IpAddr {
    client_ip(Some(ip(peer)), &headers(lines), &behind_proxies()).expect("a peer")
}

fn id(
    extensions: &Extensions,
    lines: &[(&'static str, &str)],
    identity: &IdentityPlan,
    identified: Option<UserId>,
) -> Option<String> {
    user(extensions, &headers(lines), identity, || identified).map(|user| user.id().to_owned())
}

#[test]
fn the_extension_precedes_the_function_the_header_and_the_credentials() {
    let mut set = Extensions::new();
    set.insert(UserId::new("set").plan("pro"));
    let identity = IdentityPlan {
        header: Some(HeaderName::from_static("x-user-id")),
        unverified: true,
        ..IdentityPlan::default()
    };
    let lines = [("x-user-id", "gateway"), ("authorization", "Bearer t")];
    let none = Extensions::new();
    let by_code = Some(UserId::new("code"));

    assert_eq!(
        id(&set, &lines, &identity, by_code.clone()).as_deref(),
        Some("set")
    );
    assert_eq!(
        id(&none, &lines, &identity, by_code).as_deref(),
        Some("code")
    );
    assert_eq!(
        id(&none, &lines, &identity, None).as_deref(),
        Some("gateway")
    );
    let hashed = id(&none, &lines[1..], &identity, None).expect("unverified");
    assert!(
        hashed.starts_with('#') && hashed.len() == 33 && !hashed.contains("Bearer"),
        "{hashed}"
    );
    assert_eq!(id(&none, &[], &identity, None), None);

    let headers = HeaderMap::new();
    let user = user(&set, &headers, &identity, || None).expect("set");
    assert_eq!((user.plan(), user.is_verified()), (Some("pro"), true));
}

#[test]
fn headers_that_are_not_configured_name_no_user() {
    let identity = IdentityPlan::default();
    let lines = [("x-user-id", "forged"), ("authorization", "Bearer t")];
    assert_eq!(id(&Extensions::new(), &lines, &identity, None), None);
    assert_eq!(
        id(&Extensions::new(), &lines, &identity, Some(UserId::new(""))),
        None
    );
}

#[test]
fn a_header_of_two_lines_names_no_user() {
    let identity = IdentityPlan {
        header: Some(HeaderName::from_static("x-user-id")),
        ..IdentityPlan::default()
    };
    let none = Extensions::new();
    assert_eq!(
        id(
            &none,
            &[("x-user-id", "me"), ("x-user-id", "you")],
            &identity,
            None
        ),
        None
    );
    assert_eq!(id(&none, &[("x-user-id", " ")], &identity, None), None);
}

#[test]
fn forwarding_fields_are_read_only_behind_trusted_proxies() {
    let forged = [("x-forwarded-for", "1.2.3.4")];
    assert_eq!(client("203.0.113.9", &forged), ip("203.0.113.9"));
    assert_eq!(client("10.0.0.1", &forged), ip("1.2.3.4"));
    let untrusting = client_ip(
        Some(ip("10.0.0.1")),
        &headers(&forged),
        &IdentityPlan::default(),
    );
    assert_eq!(untrusting, Some(ip("10.0.0.1")));
    assert_eq!(client_ip(None, &headers(&forged), &behind_proxies()), None);
}

#[test]
fn the_forwarding_field_is_read_from_the_right_over_all_lines() {
    let lines = [
        ("x-forwarded-for", "6.6.6.6, 198.51.100.7"),
        ("x-forwarded-for", "10.0.0.9,10.0.0.8"),
    ];
    assert_eq!(client("10.0.0.1", &lines), ip("198.51.100.7"));
    assert_eq!(
        client("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")]),
        ip("10.0.0.3")
    );
}

#[test]
fn reading_stops_at_the_first_element_that_is_not_an_address() {
    for broken in [
        "1.2.3.4, unknown, 10.0.0.2",
        "1.2.3.4, , 10.0.0.2",
        "1.2.3.4, _hidden, 10.0.0.2",
    ] {
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", broken)]),
            ip("10.0.0.2"),
            "{broken}"
        );
    }
    let mut lines = HeaderMap::new();
    lines.append("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
    lines.append(
        "x-forwarded-for",
        HeaderValue::from_bytes(b"\xff").expect("opaque"),
    );
    assert_eq!(
        client_ip(Some(ip("10.0.0.1")), &lines, &behind_proxies()),
        Some(ip("10.0.0.1"))
    );
}

#[test]
fn ports_brackets_and_mapped_addresses_are_understood() {
    for (text, expected) in [
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("\"1.2.3.4\"", "1.2.3.4"),
    ] {
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", text)]),
            ip(expected),
            "{text}"
        );
    }
    assert_eq!(
        client("::ffff:10.0.0.1", &[("x-forwarded-for", "1.2.3.4")]),
        ip("1.2.3.4")
    );
    assert_eq!(
        client("2001:db8:ffff::1", &[("x-forwarded-for", "1.2.3.4")]),
        ip("1.2.3.4")
    );
}

#[test]
fn forwarded_is_read_as_rfc_7239_specifies() {
    let lines = [
        (
            "forwarded",
            r#"for=6.6.6.6, for="[2001:db8::7]:4711";proto=https"#,
        ),
        ("forwarded", r#"By="a,b";For=10.0.0.9"#),
    ];
    assert_eq!(client("10.0.0.1", &lines), ip("2001:db8::7"));
    // A proxy that sets `X-Forwarded-For` forwards the client's own `Forwarded`.
    let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "1.2.3.4")];
    assert_eq!(client("10.0.0.1", &both), ip("1.2.3.4"));
    let named = IdentityPlan {
        ip_header: Some(http::header::FORWARDED),
        ..behind_proxies()
    };
    assert_eq!(
        client_ip(Some(ip("10.0.0.1")), &headers(&both), &named),
        Some(ip("6.6.6.6"))
    );
}

#[test]
fn a_configured_ip_header_is_the_only_one_that_is_read() {
    let named = IdentityPlan {
        ip_header: Some(HeaderName::from_static("x-real-ip")),
        ..behind_proxies()
    };
    let lines = headers(&[("x-real-ip", "1.2.3.4"), ("x-forwarded-for", "6.6.6.6")]);
    assert_eq!(
        client_ip(Some(ip("10.0.0.1")), &lines, &named),
        Some(ip("1.2.3.4"))
    );
    let without = headers(&[("x-forwarded-for", "6.6.6.6")]);
    assert_eq!(
        client_ip(Some(ip("10.0.0.1")), &without, &named),
        Some(ip("10.0.0.1"))
    );
}

#[test]
fn an_ipv6_address_is_truncated_to_its_prefix() {
    assert_eq!(
        truncate(ip("2001:db8:1:2:3:4:5:6"), 64),
        ip("2001:db8:1:2::")
    );
    assert_eq!(
        truncate(ip("2001:db8:1:2:3:4:5:6"), 128),
        ip("2001:db8:1:2:3:4:5:6")
    );
    assert_eq!(truncate(ip("2001:db8::1"), 0), ip("::"));
    assert_eq!(truncate(ip("1.2.3.4"), 64), ip("1.2.3.4"));
    assert_eq!(truncate(ip("::ffff:1.2.3.4"), 64), ip("1.2.3.4"));
}

proptest! {
    #[test]
    fn a_client_cannot_forge_its_address(sent in "[ -~]{0,40}") {
        let line = format!("{sent}, 198.51.100.7");
        prop_assert_eq!(client("10.0.0.1", &[("x-forwarded-for", &line)]), ip("198.51.100.7"));
        prop_assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", &sent), ("x-forwarded-for", "198.51.100.7")]),
            ip("198.51.100.7")
        );
    }
}
