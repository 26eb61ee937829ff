use std::net::IpAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::Layer;
use tower_keep::{Keep, RateLimitLayer, Table, UserId, rate_limit::RateLimit};

use super::{admitted, from, get, of_user, origin};
use crate::common::{keeps::new_keep, log::Log, origin::Origin};

fn service(toml: &str) -> (Keep, RateLimit<Origin>) {
    let keep = new_keep(Table::from_toml(toml).expect("a good table"));
    let service = RateLimitLayer::new(&keep).layer(origin());
    (keep, service)
}

const BY_USER: &str = "[[limit]]\nname = \"u\"\nlimit = 3\nwindow = \"1m\"\n";
const BY_IP: &str = "[[limit]]\nname = \"a\"\nby = \"ip\"\nlimit = 3\nwindow = \"1m\"\n";

fn with(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<Bytes>> {
    request
        .headers_mut()
        .append(name, value.parse().expect("a value"));
    request
}

#[tokio::test]
async fn users_are_counted_apart_whatever_their_address() {
    let (_keep, mut service) = service(BY_USER);
    let known = |user: &'static str, address: &'static str| {
        move || {
            let mut request = from("/", address);
            request.extensions_mut().insert(UserId::new(user));
            request
        }
    };
    assert_eq!(admitted(&mut service, 9, known("a", "192.0.2.1")).await, 3);
    assert_eq!(admitted(&mut service, 9, known("a", "192.0.2.2")).await, 0);
    assert_eq!(admitted(&mut service, 9, known("b", "192.0.2.1")).await, 3);
}

#[tokio::test]
async fn a_new_bearer_token_does_not_reset_the_quota() {
    for unverified in ["", "[identity]\nunverified = true\n"] {
        let (_keep, mut service) = service(&format!("{unverified}{BY_USER}"));
        let tokens = std::cell::Cell::new(0);
        let request = || {
            tokens.set(tokens.get() + 1);
            with(
                from("/", "192.0.2.1"),
                "authorization",
                &format!("Bearer {}", tokens.get()),
            )
        };
        assert_eq!(
            admitted(&mut service, 9, request).await,
            3,
            "{unverified:?}"
        );
    }
}

#[tokio::test]
async fn requests_without_a_known_subject_are_limited_together() {
    let (_keep, mut service) = service(BY_USER);
    let anonymous = || get("/").body(Full::default()).expect("a request");
    assert_eq!(admitted(&mut service, 9, anonymous).await, 3);
    assert_eq!(
        admitted(&mut service, 9, || of_user("/", "")).await,
        0,
        "an empty name identifies no user"
    );
}

/// Behind axum without `ConnectInfo` all clients share one counter, which the log must say.
#[tokio::test]
async fn a_missing_peer_address_is_logged_once() {
    let (log, _guard) = Log::start();
    let (_keep, mut service) = service(BY_IP);
    admitted(&mut service, 1, || from("/", "192.0.2.1")).await;
    let warning = "without a known address share one counter";
    assert_eq!(log.count(warning), 0);
    let anonymous = || get("/").body(Full::default()).expect("a request");
    admitted(&mut service, 3, anonymous).await;
    assert_eq!(log.count(warning), 1);
}

#[tokio::test]
async fn forwarding_fields_are_read_from_the_right_and_only_behind_trusted_proxies() {
    let spoofed = |n: u32| {
        let left = format!("198.51.100.{n}, 203.0.113.9:4711");
        with(from("/", "10.1.1.1"), "x-forwarded-for", &left)
    };
    let count = std::cell::Cell::new(0);
    let request = || {
        count.set(count.get() + 1);
        spoofed(count.get())
    };
    // No proxy is trusted: the limit applies to the peer.
    let (_keep, mut direct) = service(BY_IP);
    assert_eq!(admitted(&mut direct, 9, request).await, 3);
    assert_eq!(admitted(&mut direct, 9, || from("/", "10.1.1.1")).await, 0);
    // Behind a trusted proxy: the address that it appended, not one that the client sent.
    let trusting = format!(
        "[identity]\ntrusted_proxies = [\"10.0.0.0/8\"]\nip_header = \"x-forwarded-for\"\n{BY_IP}"
    );
    let (_keep, mut service) = service(&trusting);
    assert_eq!(admitted(&mut service, 9, request).await, 3);
    assert_eq!(
        admitted(&mut service, 9, || from("/", "203.0.113.9")).await,
        0
    );
    assert_eq!(
        admitted(&mut service, 9, || from("/", "203.0.113.10")).await,
        3
    );
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_share_a_limit() {
    let (_keep, mut service) = service(BY_IP);
    let count = std::cell::Cell::new(0);
    let request = || {
        count.set(count.get() + 1);
        from(
            "/",
            &format!("2001:db8:1:2:{:x}::{:x}", count.get(), count.get()),
        )
    };
    assert_eq!(admitted(&mut service, 9, request).await, 3);
    assert_eq!(
        admitted(&mut service, 9, || from("/", "2001:db8:1:3::1")).await,
        3
    );
    assert_eq!(
        admitted(&mut service, 9, || from("/", "192.0.2.1")).await,
        3
    );
    assert_eq!(
        admitted(&mut service, 9, || from("/", "::ffff:192.0.2.1")).await,
        0,
        "mapped"
    );
}

#[tokio::test]
async fn limits_by_route_use_the_pattern_not_the_path() {
    let toml = "[[route]]\npath = \"/users/{id}\"\n\
                [[limit]]\nname = \"r\"\nby = [\"ip\", \"route\"]\nlimit = 3\nwindow = \"1m\"\n";
    let (_keep, mut service) = service(toml);
    let count = std::cell::Cell::new(0);
    let path = |of: &'static str| {
        let count = &count;
        move || {
            count.set(count.get() + 1);
            from(&format!("{of}{}", count.get()), "192.0.2.1")
        }
    };
    assert_eq!(admitted(&mut service, 9, path("/users/")).await, 3);
    assert_eq!(admitted(&mut service, 9, path("/unlisted/")).await, 3);
}

#[tokio::test]
async fn requests_without_the_field_of_a_limit_share_one_quota() {
    let toml = "[[limit]]\nname = \"k\"\nby = \"header:x-key\"\nlimit = 3\nwindow = \"1m\"\n";
    let (_keep, mut service) = service(toml);
    assert_eq!(
        admitted(&mut service, 9, || from("/", "192.0.2.1")).await,
        3
    );
    let keyed = || with(from("/", "192.0.2.1"), "x-key", "k1");
    assert_eq!(admitted(&mut service, 9, keyed).await, 3);
}

#[tokio::test]
async fn the_application_can_name_the_peer_address() {
    #[derive(Clone)]
    struct Client(IpAddr);
    let (keep, mut service) = service(BY_IP);
    keep.peer(|extensions| extensions.get::<Client>().map(|client| client.0));
    let request = |last| {
        move || {
            let client = Client(IpAddr::from([192, 0, 2, last]));
            get("/")
                .extension(client)
                .body(Full::default())
                .expect("a request")
        }
    };
    assert_eq!(admitted(&mut service, 9, request(1)).await, 3);
    assert_eq!(admitted(&mut service, 9, request(2)).await, 3);
}
