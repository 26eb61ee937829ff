//! Limits of a path, and the other ways to write that path.

use tower::Layer;
use tower_keep::{
    Limit, RateLimitLayer, Route, Table,
    table::{By, mins},
};

use super::{admitted, from, origin};
use crate::common::{client::send_to, keeps::new_keep};

fn login() -> Limit {
    Limit::new("login", 2, mins(1)).path("/login").by([By::Ip])
}

/// Regression: each of these paths reached the handler of `/login` without being counted.
#[tokio::test]
async fn a_limit_counts_every_writing_of_its_path() {
    for path in [
        "/login",
        "/%6cogin",
        "/%6Cogin",
        "/lo%67%69n",
        "//login",
        "/./login",
        "/x/../login",
        "/x/%2e%2E/login",
        "/x%2f..%2flogin",
        "/x//../login",
        "/x//../../login",
        "/x\\..\\login",
        "/x/..%5Clogin",
        "/%2flogin",
        "/login%00",
        "/%256cogin",
        "/login;x",
        "/login;x=1/",
        "/login%3Bx",
        "/;/login",
        "/;x/login;y",
        "/login/",
        "/login//",
        "/login%2f",
        "/login%2500",
        "/login%3Fx",
        "/login%20",
        "/x/..%3b%2flogin",
    ] {
        let keep = new_keep(Table::new().limit(login()));
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let request = || from(path, "192.0.2.1");
        assert_eq!(admitted(&mut service, 3, request).await, 2, "{path}");
        // All of them count for the same subject.
        let login = || from("/login", "192.0.2.1");
        assert_eq!(admitted(&mut service, 1, login).await, 0, "{path}");
    }
}

/// The limit's own path may be written in any way, too.
#[tokio::test]
async fn the_path_of_a_limit_may_contain_escapes() {
    for (path, request) in [
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%6cogin", "/login"),
        ("/a%3Ab/{id}", "/a:b/1"),
        ("/a:b/{id}", "/a%3ab/1"),
    ] {
        let limit = Limit::new("one", 1, mins(1)).path(path).by([By::Ip]);
        let keep = new_keep(Table::new().limit(limit));
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let request = || from(request, "192.0.2.1");
        assert_eq!(admitted(&mut service, 2, request).await, 1, "{path}");
    }
}

/// Regression: a limit of `/login/` did not count `/login`.
#[tokio::test]
async fn a_limit_counts_its_path_with_and_without_a_slash_at_the_end() {
    for (path, requests) in [
        ("/login/", ["/login", "/login/", "/%6cogin"]),
        ("/login", ["/login/", "/login", "/login//"]),
        ("/users/{id}/", ["/users/1", "/users/1/", "/users/1;x"]),
        ("/%6cogin/", ["/login", "/login/", "/login;x"]),
        ("/", ["/", "//", "/;x"]),
    ] {
        let limit = Limit::new("one", 1, mins(1)).path(path).by([By::Ip]);
        let keep = new_keep(Table::new().limit(limit));
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let mut admitted = 0;
        for path in requests {
            let response = send_to(&mut service, from(path, "192.0.2.1")).await;
            admitted += usize::from(response.status() == 200);
        }
        assert_eq!(admitted, 1, "{path}");
        let other = || from("/log", "192.0.2.1");
        assert_eq!(super::admitted(&mut service, 2, other).await, 2, "{path}");
    }
}

/// An exemption counts for the path as written only: it must not exempt another resource.
#[tokio::test]
async fn an_exemption_does_not_hold_for_the_path_with_another_end() {
    for (exempt, path) in [("path:/health", "/health/"), ("path:/health/", "/health")] {
        let limit = Limit::new("all", 1, mins(1)).by([By::Ip]).exempt([exempt]);
        let keep = new_keep(Table::new().limit(limit));
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let request = || from(path, "192.0.2.1");
        assert_eq!(admitted(&mut service, 3, request).await, 1, "{exempt}");
    }
}

/// Regression: with a slash at its end the path had no route, and so another count.
#[tokio::test]
async fn a_limit_by_route_counts_a_path_with_and_without_a_slash_together() {
    for routes in [&["/login"][..], &["/login/"], &["/login", "/login/"]] {
        let limit = Limit::new("all", 2, mins(1)).by([By::Ip, By::Route]);
        let routes = routes.iter().map(|path| Route::new(*path));
        let table = routes.fold(Table::new(), Table::route).limit(limit);
        let keep = new_keep(table);
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let mut admitted = 0;
        for path in [
            "/login", "/login/", "/login", "/login/", "/%6cogin", "/login//",
        ] {
            let response = send_to(&mut service, from(path, "192.0.2.1")).await;
            admitted += usize::from(response.status() == 200);
        }
        assert_eq!(admitted, 2);
    }
}

#[tokio::test]
async fn paths_are_compared_with_regard_to_the_case_of_letters() {
    let keep = new_keep(Table::new().limit(login()));
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    for path in ["/Login", "/login/x", "/logins"] {
        let request = || from(path, "192.0.2.1");
        assert_eq!(admitted(&mut service, 3, request).await, 3, "{path}");
    }
}

/// Regression: `/health/../x` was exempt.
#[tokio::test]
async fn an_exemption_holds_only_if_every_reading_is_exempt() {
    let limit = Limit::new("all", 1, mins(1)).by([By::Ip]);
    let limit = limit.exempt(["path:/health/{*rest}"]);
    for (path, is_exempt) in [
        ("/health/a", true),
        ("/health/a/", true),
        ("/health/%61", true),
        ("/health/./a", true),
        ("/health//a", true),
        ("/health/a;b", true),
        ("/health/;b", false),
        ("/health/../x", false),
        ("/health/..%2fx", false),
        ("/health/%2e%2e/x", false),
        ("/health\\..\\x", false),
        ("/health/a/../../x", false),
        ("/x", false),
    ] {
        let keep = new_keep(Table::new().limit(limit.clone()));
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let admitted = admitted(&mut service, 3, || from(path, "192.0.2.1")).await;
        assert_eq!(admitted == 3, is_exempt, "{path}: {admitted}");
    }
}

/// Regression: each writing of a path had a counter of its own.
#[tokio::test]
async fn a_limit_by_route_counts_the_route_of_the_normalized_path() {
    let limit = Limit::new("all", 2, mins(1)).by([By::Ip, By::Route]);
    let table = Table::new()
        .route(Route::new("/login"))
        .route(Route::new("/api/{*rest}"));
    let keep = new_keep(table.limit(limit));
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    let mut admitted = 0;
    for path in ["/login", "/api/../login", "//login", "/%6cogin", "/./login"] {
        let response = send_to(&mut service, from(path, "192.0.2.1")).await;
        admitted += usize::from(response.status() == 200);
    }
    assert_eq!(admitted, 2);
}

/// Regression: a request was counted by the route of its normalized path, although the limit matched
/// another reading.
#[tokio::test]
async fn a_limit_of_a_path_by_route_counts_every_writing_together() {
    let writings = [
        "/login",
        "/a/..%2flogin",
        "/b/..%2flogin",
        "/d/..%2flogin",
        "/%6cogin",
        "/b/../login",
    ];
    let wildcards = || {
        let table = Table::new().route(Route::new("/a/{*x}"));
        table.route(Route::new("/b/{*x}"))
    };
    for table in [wildcards(), wildcards().route(Route::new("/login"))] {
        for by in [vec![By::Route], vec![By::Ip, By::Route]] {
            let limit = Limit::new("login", 2, mins(1)).path("/login").by(by);
            let keep = new_keep(table.clone().limit(limit));
            let mut service = RateLimitLayer::new(&keep).layer(origin());
            let mut admitted = 0;
            for path in writings {
                let response = send_to(&mut service, from(path, "192.0.2.1")).await;
                admitted += usize::from(response.status() == 200);
            }
            assert_eq!(admitted, 2);
        }
    }
}
