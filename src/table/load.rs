//! Reads settings from TOML, and adds line numbers to errors.

use std::{fs, ops::Range, path::Path};

use toml::de::DeTable;

use super::{plan::Plan, problem::Location, remedy, settings::Settings};
use crate::error::Error;

pub(super) fn file(path: &Path) -> Result<Settings, Error> {
    let name = path.display().to_string();
    let unreadable =
        |error| Error::config(format!("{name}: the table cannot be read")).with_hidden_cause(error);
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_FILE {
        return Err(Error::config(format!(
            "{name}: a table of {length} bytes is too long; write at most {MAX_FILE}"
        )));
    }
    let content = fs::read_to_string(path).map_err(unreadable)?;
    text(&content, Some(&name))
}

pub(super) fn text(content: &str, file: Option<&str>) -> Result<Settings, Error> {
    let settings = toml::from_str(content).map_err(|error| syntax_error(&error, content, file))?;
    let (_, problems) = Plan::with_problems(&settings);
    match problems.into_iter().next() {
        None => Ok(settings),
        Some(problem) => {
            let span = span_of(content, &problem.location);
            Err(Error::config(format!(
                "{}{problem}",
                place(content, file, span)
            )))
        }
    }
}

/// The error of invalid TOML. It has no source, because its message includes that of toml's error.
fn syntax_error(error: &toml::de::Error, content: &str, file: Option<&str>) -> Error {
    let span = error.span();
    let found = span.clone().and_then(|span| content.get(span));
    let start = span.as_ref().map_or(0, |span| span.start);
    let before = content.get(..start).unwrap_or_default();
    let line = &content[before.rfind('\n').map_or(0, |at| at + 1)..];
    let line = line.lines().next().unwrap_or_default();
    let message = remedy::explain(error.message(), found.unwrap_or_default(), line);
    Error::config(format!("{}{message}", place(content, file, span)))
}

/// The prefix of an error: `keep.toml:12: `, or `line 12: `.
fn place(content: &str, file: Option<&str>, span: Option<Range<usize>>) -> String {
    let line = span.map(|span| {
        let before = content.get(..span.start).unwrap_or(content);
        before.bytes().filter(|&byte| byte == b'\n').count() + 1
    });
    match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        (None, Some(line)) => format!("line {line}: "),
        (None, None) => String::new(),
    }
}

/// Parses the text again to find where a problem is: settings do not keep their positions.
fn span_of(content: &str, location: &Location) -> Option<Range<usize>> {
    let document = DeTable::parse(content).ok()?;
    let table = document.get_ref();
    let (item, field) = match location {
        Location::Top(name) => return field_span(table, name),
        Location::Section(section, name) => (table.get(*section)?, &**name),
        Location::Item {
            list, index, field, ..
        } => {
            let items = table.get(*list)?.get_ref().as_array()?;
            (items.get(*index)?, *field)
        }
    };
    field_span(item.get_ref().as_table()?, field).or_else(|| Some(item.span()))
}

fn field_span(table: &DeTable<'_>, name: &str) -> Option<Range<usize>> {
    table
        .iter()
        .find(|(key, _)| key.get_ref().as_ref() == name)
        .map(|(key, _)| key.span())
}

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;
