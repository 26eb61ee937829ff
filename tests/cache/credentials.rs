//! Credentials other than `Authorization` and `Cookie`: further request fields, and parameters of
//! the query.

use bytes::Bytes;
use http::Request;
use tower_keep::{Keep, Table};

use crate::common::{
    client::{get, request, run_other_tasks, send},
    keeps::new_keep,
    origin::{Gate, Origin, cached, full, ok},
};

/// One route without scope, whose responses do not depend on the query.
const ACCOUNT: &str = r#"
[[route]]
path = "/account"
key = "account"
query = []
"#;

fn keep(table: &str) -> Keep {
    new_keep(Table::from_toml(table).expect("a valid table"))
}

/// The user that the application assumes: the value of the first field or parameter of the name
/// `name`, decoded and compared as lenient frameworks do, else the whole query.
fn assumed_user(request: &Request<Bytes>, name: &str) -> String {
    let field = request.headers().get(name);
    let field = field.map(|value| value.to_str().expect("text").to_owned());
    let query = || request.uri().query().map(str::to_owned);
    field.or_else(query).unwrap_or_else(|| "nobody".to_owned())
}

fn origin(name: &'static str, fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::from_fn(move |request, _| {
        let response = ok(full(assumed_user(&request, name)), fields);
        async move { Ok(response) }
    })
}

const FIELDS: [&str; 25] = [
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x_api_key",
    "x-auth-token",
    "x-access-token",
    "access-token",
    "private-token",
    "x-gitlab-token",
    "job-token",
    "x-vault-token",
    "x-amz-security-token",
    "x-goog-api-key",
    "x-goog-iap-jwt-assertion",
    "cf-access-jwt-assertion",
    "x-functions-key",
    "ocp-apim-subscription-key",
    "x-session-id",
    "x-client-secret",
    "x-forwarded-user",
    "x-forwarded-client-cert",
    "x-auth-request-email",
    "remote-user",
    "signature",
];

#[tokio::test]
async fn an_answer_to_a_request_with_a_credential_field_is_not_given_to_others() {
    for name in FIELDS {
        let keep = keep(ACCOUNT);
        let origin = origin(name, &[]);
        let service = cached(&keep, &origin);
        for user in ["alice", "bob"] {
            let response = send(&service, request("GET", "/account", &[(name, user)])).await;
            assert_eq!(response.body, user, "{name}");
        }
        assert_eq!(
            send(&service, get("/account")).await.body,
            "nobody",
            "{name}"
        );
        // The stored answer to a request without credentials is not for Bob, either.
        let response = send(&service, request("GET", "/account", &[(name, "bob")])).await;
        assert_eq!(response.body, "bob", "{name}");
    }
}

#[tokio::test]
async fn an_answer_to_a_request_with_a_credential_in_its_query_is_not_given_to_others() {
    for query in [
        "access_token=",
        "page=1&access_token=",
        "accessToken=",
        "ACCESS-TOKEN=",
        "access%5Ftoken=",
        "%61ccess_token=",
        "access.token=",
        "+access_token=",
        "access_token[]=",
        "access_token%5B0%5D=",
        "page=1;access_token=",
        "auth[token]=",
        "user%5Bpassword%5D=",
        "private_token=",
        "api_key=",
        "apikey=",
        "token=",
        "id_token=",
        "jwt=",
        "auth=",
        "sid=",
        "PHPSESSID=",
        "sig=",
        "X-Amz-Signature=",
        "X-Goog-Credential=",
    ] {
        let keep = keep(ACCOUNT);
        let origin = origin("none", &[]);
        let service = cached(&keep, &origin);
        for user in ["alice", "bob"] {
            let query = format!("{query}{user}");
            let response = send(&service, get(&format!("/account?{query}"))).await;
            assert_eq!(response.body, query);
        }
        assert_eq!(send(&service, get("/account")).await.body, "nobody");
    }
}

#[tokio::test]
async fn names_that_only_resemble_credentials_do_not_prevent_sharing() {
    for (name, path) in [
        ("x-csrf-token", "/account"),
        ("x-xsrf-token", "/account"),
        ("x-request-id", "/account"),
        ("user-agent", "/account"),
        ("connection", "/account"),
        ("idempotency-key", "/account"),
        ("accept", "/account?page_token=a"),
        ("accept", "/account?nextToken=a&key=b&code=c&state=d"),
        ("accept", "/account?continuation-token=a"),
        (
            "accept",
            "/account?author=a&side=b&design=c&keys=d&tokens=e",
        ),
        ("accept", "/account?q=access_token"),
        ("accept", "/account?"),
        ("accept", "/account?&&=&%"),
    ] {
        let keep = keep(ACCOUNT);
        let origin = origin("none", &[]);
        let service = cached(&keep, &origin);
        for value in ["1", "2"] {
            send(&service, request("GET", path, &[(name, value)])).await;
        }
        assert_eq!(origin.calls(), 1, "{name} {path}");
    }
}

#[tokio::test]
async fn a_response_that_is_public_is_shared_whatever_the_credentials() {
    let keep = keep(ACCOUNT);
    let origin = origin("x-api-key", &[("cache-control", "public, max-age=60")]);
    let service = cached(&keep, &origin);
    for user in ["alice", "bob"] {
        let by = request("GET", "/account", &[("x-api-key", user)]);
        assert_eq!(send(&service, by).await.body, "alice");
    }
    let response = send(&service, get("/account?access_token=bob")).await;
    assert_eq!(response.body, "alice");
}

#[tokio::test]
async fn the_table_names_further_credentials() {
    let table = format!("[identity]\ncredentials = [\"X-Shop\", \"invite[code]\"]\n{ACCOUNT}");
    for (name, path) in [
        ("x-shop", "/account"),
        ("x_shop", "/account"),
        ("none", "/account?X-shop="),
        ("none", "/account?invite%5Bcode%5D="),
        ("none", "/account?a=b&invite[code]="),
    ] {
        let keep = keep(&table);
        let origin = origin(name, &[]);
        let service = cached(&keep, &origin);
        for user in ["alice", "bob"] {
            let path = match path.ends_with('=') {
                true => format!("{path}{user}"),
                false => path.to_owned(),
            };
            let response = send(&service, request("GET", &path, &[(name, user)])).await;
            assert!(response.body.ends_with(user), "{name} {path}: {response:?}");
        }
    }
}

#[tokio::test]
async fn requests_with_other_credentials_do_not_wait_for_each_other() {
    for query in [false, true] {
        let gate = Gate::closed();
        let origin = Origin::gated(&gate, |request, _| {
            Ok(ok(full(assumed_user(&request, "x-api-key")), &[]))
        });
        let service = cached(&keep(ACCOUNT), &origin);
        let tasks = ["alice", "bob"].map(|user| {
            let request = match query {
                true => get(&format!("/account?access_token={user}")),
                false => request("GET", "/account", &[("x-api-key", user)]),
            };
            let service = service.clone();
            tokio::spawn(async move { (user, send(&service, request).await.body) })
        });
        origin.called(2).await;
        run_other_tasks().await;
        gate.open();
        for task in tasks {
            let (user, body) = task.await.expect("no panic");
            assert!(body.ends_with(user), "{body}");
        }
    }
}

/// On a path that no route names, too, also for QUERY.
#[tokio::test]
async fn an_answer_with_explicit_freshness_is_not_shared_on_unlisted_paths() {
    for method in ["GET", "QUERY"] {
        let keep = keep("");
        let origin = origin("x-api-key", &[("cache-control", "max-age=60")]);
        let service = cached(&keep, &origin);
        for user in ["alice", "bob"] {
            let by = request(method, "/unlisted", &[("x-api-key", user)]);
            assert_eq!(send(&service, by).await.body, user, "{method}");
        }
        assert_eq!(
            send(&service, request(method, "/unlisted", &[])).await.body,
            "nobody"
        );
    }
}

#[tokio::test]
async fn the_answer_to_a_write_with_an_api_key_does_not_answer_a_get() {
    let keep = keep("");
    let fields = &[("cache-control", "max-age=60"), ("content-location", "/a")];
    let origin = origin("x-api-key", fields);
    let service = cached(&keep, &origin);
    send(&service, request("POST", "/a", &[("x-api-key", "alice")])).await;
    assert_eq!(send(&service, get("/a")).await.body, "nobody");
}

/// A password that everybody sends, as to a test server, and an API key of each user.
#[tokio::test]
async fn an_unverified_user_is_all_credentials_of_the_request() {
    let table = "
        [identity]
        unverified = true
        [[route]]
        path = \"/account\"
        key = \"account\"
        scope = \"user\"
        query = []
    ";
    let (keep, origin) = (keep(table), origin("x-api-key", &[]));
    let service = cached(&keep, &origin);
    let shared = ("authorization", "Basic c2hhcmVk");
    for _ in 0..2 {
        for user in ["alice", "bob"] {
            for fields in [&[shared, ("x-api-key", user)][..], &[("x-api-key", user)]] {
                let response = send(&service, request("GET", "/account", fields)).await;
                assert_eq!(response.body, user);
            }
            let path = format!("/account?token={user}");
            let response = send(&service, request("GET", &path, &[shared])).await;
            assert!(response.body.ends_with(user), "{response:?}");
        }
    }
    assert_eq!(origin.calls(), 6, "each is stored for its own user");
}
