//! The API's database tables.

use crate::{document::Document, record::Record};

pub(crate) static ENGAGEMENT: Record = Record {
    noun: "engagement",
    table: "engagements",
    keys: &[("id", "id")],
    columns: &["org_id", "name", "description", "status", "budget"],
    owner: None,
};

pub(crate) static TASK: Record = Record {
    noun: "task",
    table: "tasks",
    keys: &[("id", "engagement_id"), ("task", "id")],
    columns: &["title", "status", "agent_id", "hours", "due"],
    owner: Some(&ENGAGEMENT),
};

pub(crate) static AGENT: Record = Record {
    noun: "agent",
    table: "agents",
    keys: &[("id", "id")],
    columns: &["org_id", "name", "role"],
    owner: None,
};

pub(crate) static AGENT_STATUS: Record = Record {
    noun: "agent",
    table: "agent_status",
    keys: &[("id", "agent_id")],
    columns: &["status", "task_id", "load"],
    owner: None,
};

pub(crate) static AGENT_CONFIG: Document = Document {
    noun: "agent",
    table: "agent_configs",
    key: ("id", "agent_id"),
};

pub(crate) static ACTIVITY: Record = Record {
    noun: "activity",
    table: "activities",
    keys: &[("id", "agent_id"), ("activity", "id")],
    columns: &["kind", "message"],
    owner: Some(&AGENT),
};

pub(crate) static DATASOURCE: Record = Record {
    noun: "data source",
    table: "datasources",
    keys: &[("id", "id")],
    columns: &["org_id", "name", "kind"],
    owner: None,
};

pub(crate) static DATASOURCE_SCHEMA: Document = Document {
    noun: "data source",
    table: "datasource_schemas",
    key: ("id", "datasource_id"),
};

pub(crate) static USER: Record = Record {
    noun: "user",
    table: "users",
    keys: &[("id", "id")],
    columns: &["org_id", "email"],
    owner: None,
};

pub(crate) static PROFILE: Record = Record {
    noun: "user",
    table: "profiles",
    keys: &[("id", "user_id")],
    columns: &["name", "title", "bio"],
    owner: None,
};

pub(crate) static PREFERENCES: Document = Document {
    noun: "user",
    table: "preferences",
    key: ("id", "user_id"),
};

pub(crate) static PIPELINE: Record = Record {
    noun: "pipeline",
    table: "pipelines",
    keys: &[("id", "id")],
    columns: &["org_id", "name", "schedule"],
    owner: None,
};

pub(crate) static PIPELINE_RUN: Record = Record {
    noun: "run",
    table: "pipeline_runs",
    keys: &[("id", "pipeline_id"), ("run", "id")],
    columns: &["status", "progress"],
    owner: Some(&PIPELINE),
};

pub(crate) static CONFIG: Document = Document {
    noun: "configuration",
    table: "configs",
    key: ("name", "name"),
};

pub(crate) static REFERENCE: Document = Document {
    noun: "reference data",
    table: "reference_data",
    key: ("name", "name"),
};
