//! Embeddings and a search over them: words are hashed into a short vector, and vectors compared by cosine.

use http::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    call::Call,
    database::Statements,
    problem::Problem,
    reply::{Reply, digest},
};

/// The texts in a new database.
pub(crate) const FIRST: [&str; 5] = [
    "delivery times of steel suppliers",
    "warehouse capacity and stock of spare parts",
    "berth allocation for container ships",
    "daily quality report of the assembly line",
    "orders waiting for customs clearance",
];

const DIMENSIONS: usize = 32;
const ROW: &str = "json_object('hash', hash, 'text', text, 'vector', json(vector), 'version', version, 'updated_at', updated_at)";

/// `GET /embeddings/{hash}`.
pub(crate) fn read(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let row = db.one(
        &format!("SELECT {ROW} FROM embeddings WHERE hash = ?"),
        [call.path("hash")],
    )?;
    Ok(Reply::ok(
        &row.ok_or_else(|| Problem::not_found("embedding"))?,
    ))
}

/// `POST /embeddings` with `{"text": …}`: adds a text to the search.
pub(crate) fn create(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let text = call.text("text")?;
    let hash = digest(text.as_bytes());
    db.change(INSERT, (&hash, &text, embed(&text).to_string()))?;
    let row = db.one(
        &format!("SELECT {ROW} FROM embeddings WHERE hash = ?"),
        [&hash],
    )?;
    Ok(Reply::created(
        &row.unwrap_or_default(),
        &format!("/embeddings/{hash}"),
    ))
}

/// `GET /search/embeddings?q=…&limit=…`: the texts nearest to a query.
pub(crate) fn search(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let Some(query) = call.query("q").filter(|query| !query.is_empty()) else {
        return Err(Problem::bad_request("the parameter q is missing"));
    };
    nearest(db, &embed(&query), call.number("limit", 3)?)
}

/// `POST /search/vectors` with `{"vector": […], "limit": …}`: a search by a vector too long for a URI. It changes nothing.
pub(crate) fn search_vector(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let mut body = call.object()?;
    let vector = body.remove("vector").unwrap_or_default();
    let numbers = vector
        .as_array()
        .is_some_and(|all| all.len() == DIMENSIONS && all.iter().all(Value::is_number));
    if !numbers {
        return Err(Problem::unprocessable(format!(
            "vector is not a list of {DIMENSIONS} numbers"
        )));
    }
    let limit = body
        .get("limit")
        .and_then(Value::as_u64)
        .and_then(|limit| u32::try_from(limit).ok());
    nearest(db, &vector, limit.unwrap_or(3))
}

fn nearest(db: &Statements<'_>, vector: &Value, limit: u32) -> Result<Reply, Problem> {
    let found = db.all(
        "SELECT json_object('hash', hash, 'text', text, 'score', round(score, 4)) FROM (
             SELECT e.hash, e.text, sum(have.value * want.value) AS score
             FROM embeddings e, json_each(e.vector) have JOIN json_each(?) want ON want.key = have.key
             GROUP BY e.hash ORDER BY score DESC, e.hash LIMIT ?)",
        (vector.to_string(), limit.min(100)),
    )?;
    Ok(Reply::json(StatusCode::OK, &Value::Array(found)))
}

/// Adds an embedding of `text` to a database that is being created.
pub(crate) fn insert(connection: &Connection, text: &str) -> rusqlite::Result<usize> {
    connection.execute(
        INSERT,
        (digest(text.as_bytes()), text, embed(text).to_string()),
    )
}

const INSERT: &str = "INSERT INTO embeddings (hash, text, vector) VALUES (?, ?, ?)";

/// The vector of a text, normalised to length 1.
fn embed(text: &str) -> Value {
    let mut vector = [0.0_f64; DIMENSIONS];
    for word in text
        .to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let place = word.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        vector[place % DIMENSIONS] += 1.0;
    }
    let length = vector
        .iter()
        .map(|part| part * part)
        .sum::<f64>()
        .sqrt()
        .max(f64::MIN_POSITIVE);
    json!(vector.map(|part| part / length))
}
