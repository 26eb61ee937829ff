//! Tables as resources: reads, lists, creates, changes and deletes rows with typed columns.

use http::StatusCode;
use rusqlite::{params_from_iter, types::Value as Column};
use serde_json::{Map, Value};

use crate::{call::Call, database::Statements, problem::Problem, reply::Reply};

/// A table, and how paths and bodies refer to its rows.
#[derive(Debug)]
pub(crate) struct Record {
    /// The name of a row in messages.
    pub(crate) noun: &'static str,
    pub(crate) table: &'static str,
    /// Placeholders in the route, and the columns that they select by; the row's own key last.
    pub(crate) keys: &'static [(&'static str, &'static str)],
    /// Columns that a client may set.
    pub(crate) columns: &'static [&'static str],
    /// The table of the rows' owner: the list of an owner that does not exist is a 404.
    pub(crate) owner: Option<&'static Self>,
}

/// Columns that clients cannot set.
const STAMPS: [&str; 2] = ["version", "updated_at"];
const PAGE: u32 = 50;

impl Record {
    /// `GET` of one row.
    pub(crate) fn read(&self, db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
        Ok(Reply::ok(&self.row(db, call)?))
    }

    /// `GET` of the rows of an owner, or of all rows. `?page=2` selects a page, and `?COLUMN=VALUE` filters.
    pub(crate) fn list(&self, db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
        let (mut tests, mut values) = self.selected_by_path(call);
        for column in self.columns {
            if let Some(wanted) = call.query(column) {
                tests.push(format!("{column} = ?"));
                values.push(Column::Text(wanted));
            }
        }
        let page = call.number("page", 1)?.max(1);
        let offset = u64::from(page - 1) * u64::from(PAGE);
        let filter = if tests.is_empty() {
            String::from("true")
        } else {
            tests.join(" AND ")
        };
        let sql = format!(
            "SELECT {} FROM {} WHERE {filter} ORDER BY updated_at DESC, rowid DESC LIMIT {PAGE} OFFSET {offset}",
            self.object(),
            self.table,
        );
        let rows = db.all(&sql, params_from_iter(values))?;
        if let (true, Some(owner)) = (rows.is_empty(), self.owner) {
            owner.row(db, call)?;
        }
        Ok(Reply::ok(&Value::Array(rows)))
    }

    /// `POST` of a new row.
    pub(crate) fn create(&self, db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
        self.insert(db, call, call.object()?)
    }

    /// Creates a row, unless there is one with its id already.
    pub(crate) fn create_once(
        &self,
        db: &Statements<'_>,
        call: &Call,
        fields: Map<String, Value>,
    ) -> Result<Reply, Problem> {
        let own = self.own_key();
        if let Some(Value::String(id)) = fields.get(own) {
            let sql = format!(
                "SELECT {} FROM {} WHERE {own} = ?",
                self.object(),
                self.table
            );
            if let Some(row) = db.one(&sql, [id])? {
                return Ok(Reply::ok(&row));
            }
        }
        self.insert(db, call, fields)
    }

    fn insert(
        &self,
        db: &Statements<'_>,
        call: &Call,
        fields: Map<String, Value>,
    ) -> Result<Reply, Problem> {
        if let Some(owner) = self.owner {
            owner.row(db, call)?;
        }
        let own = self.own_key();
        let mut names = Vec::new();
        let mut values = Vec::new();
        for (name, value) in fields {
            if name != own && !self.columns.contains(&name.as_str()) {
                return Err(self.unknown(&name));
            }
            names.push(name);
            values.push(bind(value));
        }
        for (placeholder, column) in self.keys {
            if let Some(value) = call.path(placeholder) {
                names.push((*column).to_owned());
                values.push(Column::Text(value.to_owned()));
            }
        }
        let marks = vec!["?"; names.len()].join(", ");
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({marks}) RETURNING {}",
            self.table,
            names.join(", "),
            self.object(),
        );
        let Some(row) = db.one(&sql, params_from_iter(values))? else {
            return Err(Problem::conflict(format!("no {} was created", self.noun)));
        };
        let location = format!(
            "{}/{}",
            call.target(),
            row[own].as_str().unwrap_or_default()
        );
        Ok(Reply::created(&row, &location))
    }

    /// `PUT` of some columns of a row; the others stay. `version` or `If-Match` guard against overwriting.
    pub(crate) fn update(&self, db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
        let current = self.row(db, call)?;
        call.check_if_match(&current)?;
        let changes = call.object()?;
        check_stamps(&changes, &current)?;

        let mut sets = vec![String::from(STAMP_CHANGE)];
        let mut values = Vec::new();
        for (name, value) in changes {
            if self.columns.contains(&name.as_str()) {
                sets.push(format!("{name} = ?"));
                values.push(bind(value));
            } else if !STAMPS.contains(&name.as_str()) && current.get(&name) != Some(&value) {
                return Err(self.unknown(&name));
            }
        }
        let (tests, selected) = self.selected_by_path(call);
        values.extend(selected);
        let sql = format!(
            "UPDATE {} SET {} WHERE {} RETURNING {}",
            self.table,
            sets.join(", "),
            tests.join(" AND "),
            self.object(),
        );
        let row = db.one(&sql, params_from_iter(values))?;
        Ok(Reply::ok(
            &row.ok_or_else(|| Problem::not_found(self.noun))?,
        ))
    }

    /// `DELETE` of a row and of the rows it owns.
    pub(crate) fn delete(&self, db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
        call.check_if_match(&self.row(db, call)?)?;
        let (tests, values) = self.selected_by_path(call);
        let sql = format!("DELETE FROM {} WHERE {}", self.table, tests.join(" AND "));
        db.change(&sql, params_from_iter(values))?;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    /// The row that the path names.
    pub(crate) fn row(&self, db: &Statements<'_>, call: &Call) -> Result<Value, Problem> {
        let (tests, values) = self.selected_by_path(call);
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            self.object(),
            self.table,
            tests.join(" AND ")
        );
        db.one(&sql, params_from_iter(values))?
            .ok_or_else(|| Problem::not_found(self.noun))
    }

    /// The SQL conditions and values that select the rows named by the path.
    fn selected_by_path(&self, call: &Call) -> (Vec<String>, Vec<Column>) {
        let given = self.keys.iter().filter_map(|(placeholder, column)| {
            let value = call.path(placeholder)?;
            Some((format!("{column} = ?"), Column::Text(value.to_owned())))
        });
        given.unzip()
    }

    /// An SQL expression for a row as a JSON object.
    fn object(&self) -> String {
        let keys = self.keys.iter().map(|(_, column)| *column);
        let all = keys.chain(self.columns.iter().copied()).chain(STAMPS);
        let pairs: Vec<_> = all.map(|column| format!("'{column}', {column}")).collect();
        format!("json_object({})", pairs.join(", "))
    }

    fn own_key(&self) -> &'static str {
        self.keys.last().map_or("id", |(_, column)| column)
    }

    fn unknown(&self, name: &str) -> Problem {
        let columns = self.columns.join(", ");
        Problem::unprocessable(format!(
            "{name} cannot be set; columns that can be set: {columns}"
        ))
    }
}

/// SQL assignments for every changed row.
pub(crate) const STAMP_CHANGE: &str =
    "version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ')";

/// Refuses changes that are based on another version than `current`.
pub(crate) fn check_stamps(changes: &Map<String, Value>, current: &Value) -> Result<(), Problem> {
    let differs = |stamp: &&str| {
        changes
            .get(*stamp)
            .is_some_and(|given| given != &current[*stamp])
    };
    match STAMPS.iter().find(|stamp| differs(stamp)) {
        None => Ok(()),
        Some(stamp) => Err(Problem::conflict(format!(
            "it has changed: its {stamp} is {}",
            current[*stamp]
        ))),
    }
}

/// A JSON value as SQLite holds it: lists and objects as their text.
fn bind(value: Value) -> Column {
    match value {
        Value::Null => Column::Null,
        Value::Bool(truth) => Column::Integer(i64::from(truth)),
        Value::String(text) => Column::Text(text),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Column::Integer(whole),
            None => Column::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        other => Column::Text(other.to_string()),
    }
}
