//! The Open Forge API as an HTTP service. It contains no caching code; that is what the layers are for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use rusqlite::TransactionBehavior;
use serde_json::json;
use tower_keep::Keep;

use crate::{
    call::Call,
    database::Database,
    problem::Problem,
    reply::Reply,
    routes::{Routes, routes},
};

/// The maximum size of a request body.
const MAX_BODY: usize = 1024 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers requests from the database.
#[derive(Clone)]
pub(crate) struct Api {
    database: Database,
    keep: Keep,
    routes: Arc<Routes>,
}

impl Api {
    pub(crate) fn new(database: Database, keep: Keep) -> Self {
        Self {
            database,
            keep,
            routes: Arc::new(routes()),
        }
    }

    pub(crate) async fn answer<B>(self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let method = head.method.clone();
        let reply = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => self.reply(head, body.to_bytes()).await,
            Err(error) => unreadable(&*error).into(),
        };
        reply.into_response(&method)
    }

    async fn reply(self, head: request::Parts, body: Bytes) -> Reply {
        match (&head.method, head.uri.path().strip_prefix("/debug/")) {
            (&Method::GET, Some("queries")) => return self.queries(),
            (&Method::POST, Some(path)) if path.starts_with("versions/") => {
                return self.new_version(&path["versions/".len()..]).await;
            }
            _ => {}
        }
        // SQLite blocks its thread.
        let work = tokio::task::spawn_blocking(move || self.run(head, body));
        work.await.unwrap_or_else(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the handler panicked").into()
        })
    }

    fn run(&self, head: request::Parts, body: Bytes) -> Reply {
        let (handler, placeholders) = match self.routes.find(&head.method, head.uri.path()) {
            Ok(found) => found,
            Err(refusal) => return *refusal,
        };
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let behavior = if reads {
            TransactionBehavior::Deferred
        } else {
            TransactionBehavior::Immediate
        };
        let call = Call::new(head, placeholders, body);
        let reply = self
            .database
            .transaction(behavior, |db| handler(db, &call))
            .unwrap_or_else(Reply::from);
        if reads {
            reply.unless_held(&call)
        } else {
            reply
        }
    }

    /// The number of database statements so far: a response from the cache adds none.
    fn queries(&self) -> Reply {
        let counted =
            json!({ "queries": self.database.statements(), "process": std::process::id() });
        Reply::json(StatusCode::OK, &counted).with(header::CACHE_CONTROL, "no-store")
    }

    /// `POST /debug/versions/{entity}`: makes everything stored for an entity unreachable, as after a release that
    /// changes its representation.
    async fn new_version(&self, entity: &str) -> Reply {
        match self.keep.bump_version(entity).await {
            Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
            Err(error) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into(),
        }
    }
}

fn unreadable(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Problem {
    if error.is::<LengthLimitError>() {
        return Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {MAX_BODY} bytes"),
        );
    }
    Problem::bad_request(format!("the body ended early: {error}"))
}
