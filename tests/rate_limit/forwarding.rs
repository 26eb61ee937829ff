//! The field in which trusted proxies write the client's address.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use tower::Layer;
use tower_keep::{
    Keep, Limit, RateLimitLayer, Table,
    table::{By, Identity, mins},
};

use super::{admitted, from, origin};

fn table(ip_header: &str) -> Table {
    let identity = Identity::new().trusted_proxies("10.0.0.0/8");
    let limit = Limit::new("api", 3, mins(1)).by(By::Ip);
    let table = Table::new().limit(limit);
    table.identity(identity.ip_header(ip_header))
}

fn forwarded(fields: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = from("/", "10.0.0.1");
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).expect("a value");
        request
            .headers_mut()
            .append(HeaderName::from_static(name), value);
    }
    request
}

/// Regression: the proxy writes only `Forwarded` and passes on the client's own `X-Forwarded-For`,
/// which won: a client with many invented addresses was not limited, or used up those of others.
#[tokio::test]
async fn a_client_cannot_choose_its_address_in_a_field_that_the_proxy_does_not_write() {
    for (name, written) in [
        ("forwarded", "for=203.0.113.9;proto=https"),
        ("forwarded", "for=6.6.6.6, for=\"203.0.113.9:4711\""),
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("cf-connecting-ip", "203.0.113.9"),
    ] {
        let keep = Keep::new(table(name)).expect("a valid table");
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let count = std::cell::Cell::new(0);
        let forged = || {
            count.set(count.get() + 1);
            let invented = format!("198.51.100.{}", count.get());
            let in_forwarded = format!("for={invented}");
            let others = [
                ("x-forwarded-for", &invented),
                ("forwarded", &in_forwarded),
                ("x-real-ip", &invented),
                ("true-client-ip", &invented),
            ];
            let mut fields = vec![(name, written)];
            let others = others.iter().filter(|(other, _)| *other != name);
            fields.extend(others.map(|(other, value)| (*other, value.as_str())));
            forwarded(&fields)
        };
        assert_eq!(admitted(&mut service, 9, forged).await, 3, "{name}");
        let direct = || from("/", "203.0.113.9");
        assert_eq!(admitted(&mut service, 9, direct).await, 0, "{name}");
        let invented = || from("/", "198.51.100.1");
        assert_eq!(admitted(&mut service, 9, invented).await, 3, "{name}");
    }
}

#[tokio::test]
async fn trusted_proxies_need_the_name_of_their_field() {
    let identity = Identity::new().trusted_proxies("10.0.0.0/8");
    let error = Keep::new(Table::new().identity(identity)).expect_err("no ip_header");
    let error = error.to_string();
    for usual in [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "cf-connecting-ip",
    ] {
        assert!(error.contains(&format!("\"{usual}\"")), "{error}");
    }
}

#[tokio::test]
async fn a_field_without_trusted_proxies_is_not_read_and_a_warning() {
    let limit = Limit::new("api", 3, mins(1)).by(By::Ip);
    let identity = Identity::new().ip_header("x-real-ip");
    let table = Table::new().limit(limit).identity(identity);
    let warnings: Vec<_> = table.check().iter().map(ToString::to_string).collect();
    let warning = "[identity] ip_header: is read only from trusted proxies; write trusted_proxies";
    assert!(
        warnings.iter().any(|text| text.starts_with(warning)),
        "{warnings:?}"
    );
    let keep = Keep::new(table).expect("a valid table");
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    let count = std::cell::Cell::new(0);
    let forged = || {
        count.set(count.get() + 1);
        forwarded(&[("x-real-ip", &format!("198.51.100.{}", count.get()))])
    };
    assert_eq!(admitted(&mut service, 9, forged).await, 3);
}
