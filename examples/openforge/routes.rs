//! The handler of each path and method.

use std::collections::BTreeMap;

use http::{Method, StatusCode, header};

use crate::{
    activity,
    call::{Call, decode},
    dashboards,
    database::Statements,
    document::Document,
    embeddings,
    problem::Problem,
    record::Record,
    reply::Reply,
    resources::{
        ACTIVITY, AGENT, AGENT_CONFIG, AGENT_STATUS, CONFIG, DATASOURCE, DATASOURCE_SCHEMA,
        ENGAGEMENT, PIPELINE, PIPELINE_RUN, PROFILE, REFERENCE, TASK, USER,
    },
    users,
};

/// The whole API.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .at("/engagements", collection(&ENGAGEMENT))
        .at("/engagements/{id}", item(&ENGAGEMENT))
        .at("/engagements/{id}/tasks", collection(&TASK))
        .at("/engagements/{id}/tasks/{task}", item(&TASK))
        .at(
            "/engagements/{id}/metrics/daily",
            vec![get(dashboards::daily_metrics)],
        )
        .at("/agents", collection(&AGENT))
        .at("/agents/{id}", item(&AGENT))
        .at("/agents/{id}/config", document(&AGENT_CONFIG))
        .at("/agents/{id}/status", part(&AGENT_STATUS))
        .at(
            "/agents/{id}/activity",
            vec![get(|db, call| ACTIVITY.list(db, call)), post(activity::log)],
        )
        .at("/datasources", collection(&DATASOURCE))
        .at("/datasources/{id}", item(&DATASOURCE))
        .at("/datasources/{id}/schema", document(&DATASOURCE_SCHEMA))
        .at("/users", collection(&USER))
        .at("/users/{id}", item(&USER))
        .at("/users/{id}/profile", part(&PROFILE))
        .at(
            "/users/{id}/preferences",
            vec![get(users::preferences), put(users::set_preferences)],
        )
        .at("/users/{id}/session", vec![get(users::latest_session)])
        .at("/sessions", vec![post(users::log_in)])
        .at(
            "/sessions/{token}",
            vec![get(users::session), delete(users::log_out)],
        )
        .at("/dashboards/{org}/stats", vec![get(dashboards::stats)])
        .at(
            "/dashboards/{org}/engagements",
            vec![get(dashboards::engagements)],
        )
        .at("/embeddings", vec![post(embeddings::create)])
        .at("/embeddings/{hash}", vec![get(embeddings::read)])
        .at("/search/embeddings", vec![get(embeddings::search)])
        .at("/search/vectors", vec![post(embeddings::search_vector)])
        .at("/pipelines", collection(&PIPELINE))
        .at("/pipelines/{id}", item(&PIPELINE))
        .at(
            "/pipelines/{id}/status",
            vec![get(dashboards::pipeline_status)],
        )
        .at("/pipelines/{id}/runs", collection(&PIPELINE_RUN))
        .at("/pipelines/{id}/runs/{run}/status", part(&PIPELINE_RUN))
        .at("/config/{name}", document(&CONFIG))
        .at(
            "/reference/{name}",
            vec![get(|db, call| REFERENCE.read(db, call))],
        )
}

/// Answers a call in a transaction. Blocks.
pub(crate) type Handler =
    Box<dyn Fn(&Statements<'_>, &Call) -> Result<Reply, Problem> + Send + Sync>;

/// Handlers by path and method.
#[derive(Default)]
pub(crate) struct Routes(matchit::Router<Vec<(Method, Handler)>>);

impl Routes {
    fn at(mut self, path: &str, methods: Vec<(Method, Handler)>) -> Self {
        self.0.insert(path, methods).expect("no two routes overlap");
        self
    }

    /// The handler of `method` at `path` with the values of the route's placeholders, or an error response.
    pub(crate) fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<(&Handler, BTreeMap<String, String>), Box<Reply>> {
        let Ok(found) = self.0.at(path) else {
            let refusal = Problem::new(StatusCode::NOT_FOUND, "no such resource");
            return Err(Box::new(refusal.into()));
        };
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        match found.value.iter().find(|(offered, _)| offered == wanted) {
            Some((_, handler)) => Ok((
                handler,
                found
                    .params
                    .iter()
                    .map(|(name, value)| (name.to_owned(), decode(value)))
                    .collect(),
            )),
            None => Err(Box::new(not_allowed(method, found.value))),
        }
    }
}

fn not_allowed(method: &Method, offered: &[(Method, Handler)]) -> Reply {
    let mut allowed: Vec<_> = offered.iter().map(|(method, _)| method.as_str()).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    let reply = match *method {
        Method::OPTIONS => Reply::empty(StatusCode::NO_CONTENT),
        _ => Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{method} is not supported here"),
        )
        .into(),
    };
    reply.with(header::ALLOW, &allowed.join(", "))
}

/// A list of rows, to which rows can be added.
fn collection(record: &'static Record) -> Vec<(Method, Handler)> {
    vec![
        get(|db, call| record.list(db, call)),
        post(|db, call| record.create(db, call)),
    ]
}

/// A row that can be read, changed and deleted.
fn item(record: &'static Record) -> Vec<(Method, Handler)> {
    let mut methods = part(record);
    methods.push(delete(|db, call| record.delete(db, call)));
    methods
}

/// A row that can be read and changed, and lives as long as its owner.
fn part(record: &'static Record) -> Vec<(Method, Handler)> {
    vec![
        get(|db, call| record.read(db, call)),
        put(|db, call| record.update(db, call)),
    ]
}

fn document(document: &'static Document) -> Vec<(Method, Handler)> {
    vec![
        get(|db, call| document.read(db, call)),
        put(|db, call| document.update(db, call)),
    ]
}

fn get<F>(handler: F) -> (Method, Handler)
where
    F: Fn(&Statements<'_>, &Call) -> Result<Reply, Problem> + Send + Sync + 'static,
{
    (Method::GET, Box::new(handler))
}

fn post<F>(handler: F) -> (Method, Handler)
where
    F: Fn(&Statements<'_>, &Call) -> Result<Reply, Problem> + Send + Sync + 'static,
{
    (Method::POST, Box::new(handler))
}

fn put<F>(handler: F) -> (Method, Handler)
where
    F: Fn(&Statements<'_>, &Call) -> Result<Reply, Problem> + Send + Sync + 'static,
{
    (Method::PUT, Box::new(handler))
}

fn delete<F>(handler: F) -> (Method, Handler)
where
    F: Fn(&Statements<'_>, &Call) -> Result<Reply, Problem> + Send + Sync + 'static,
{
    (Method::DELETE, Box::new(handler))
}
