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
        ip_header: Some(HeaderName::from_static("x-forwarded-for")),
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

fn client_by(name: &'static str, lines: &[(&'static str, &str)]) -> IpAddr {
    let identity = IdentityPlan {
        ip_header: Some(HeaderName::from_static(name)),
        ..behind_proxies()
    };
    client_ip(Some(ip("10.0.0.1")), &headers(lines), &identity).expect("a peer")
}

fn id(
    extensions: &Extensions,
    lines: &[(&'static str, &str)],
    identity: &IdentityPlan,
    identified: Option<UserId>,
) -> Option<String> {
    user(extensions, &headers(lines), None, identity, || identified)
        .map(|user| user.id().to_owned())
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
    let user = user(&set, &headers, None, &identity, || None).expect("set");
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
    for (lines, expected) in [
        (
            &[
                r#"for=6.6.6.6, for="[2001:db8::7]:4711";proto=https"#,
                r#"By="a,b";For=10.0.0.9"#,
            ][..],
            "2001:db8::7",
        ),
        (&["for=1.2.3.4"], "1.2.3.4"),
        (&["for=\"1.2.3.4:80\""], "1.2.3.4"),
        (&["for=\"1.2.3.4:_port\""], "1.2.3.4"),
        (&["For=\"[2001:db8::7]\""], "2001:db8::7"),
        (&["proto=https ; for = 1.2.3.4 ;by=10.0.0.1"], "1.2.3.4"),
        // Hidden, missing, malformed and repeated addresses end the chain.
        (&["for=6.6.6.6, for=unknown"], "10.0.0.1"),
        (&["for=6.6.6.6, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
        (&["for=6.6.6.6, by=10.0.0.3"], "10.0.0.1"),
        (&["for=6.6.6.6, for=\"[2001:db8::7]x\""], "10.0.0.1"),
        (&["for=6.6.6.6;for=7.7.7.7"], "10.0.0.1"),
        // What the client sent as `Host` is quoted by the proxy.
        (&[r#"host="x;for=6.6.6.6";for=1.2.3.4"#], "1.2.3.4"),
        (&[r#"for=1.2.3.4;host="x;for=6.6.6.6""#], "1.2.3.4"),
        (&[r#"for=1.2.3.4;host="x, for=6.6.6.6""#], "1.2.3.4"),
        (&[r#"for=6.6.6.6;host=", for=1.2.3.4"#], "1.2.3.4"),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        assert_eq!(client_by("forwarded", &lines), ip(expected), "{lines:?}");
    }
}

/// Regression: behind a proxy that writes only `Forwarded`, the client's own `X-Forwarded-For` won.
#[test]
fn the_configured_field_is_the_only_one_that_is_read() {
    let all = [
        ("forwarded", "for=1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-real-ip", "3.3.3.3"),
        ("cf-connecting-ip", "2001:db8::4"),
    ];
    for (name, expected) in [
        ("forwarded", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-real-ip", "3.3.3.3"),
        ("cf-connecting-ip", "2001:db8::4"),
        ("true-client-ip", "10.0.0.1"),
    ] {
        assert_eq!(client_by(name, &all), ip(expected), "{name}");
    }
    let none = IdentityPlan {
        ip_header: None,
        ..behind_proxies()
    };
    let found = client_ip(Some(ip("10.0.0.1")), &headers(&all), &none);
    assert_eq!(found, Some(ip("10.0.0.1")));
}

#[test]
fn a_field_that_is_not_a_list_must_contain_one_address() {
    for (lines, expected) in [
        (&["1.2.3.4"][..], "1.2.3.4"),
        (&[" 10.9.9.9 "], "10.9.9.9"),
        (&["1.2.3.4, 5.6.7.8"], "10.0.0.1"),
        (&["1.2.3.4", "5.6.7.8"], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&["somebody"], "10.0.0.1"),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("x-real-ip", *line)).collect();
        assert_eq!(client_by("x-real-ip", &lines), ip(expected), "{lines:?}");
    }
}

#[test]
fn fields_like_x_forwarded_for_are_lists() {
    let name = "x-original-forwarded-for";
    let found = client_by(name, &[(name, "6.6.6.6, 1.2.3.4, 10.0.0.2")]);
    assert_eq!(found, ip("1.2.3.4"));
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
