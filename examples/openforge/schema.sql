-- The Open Forge database. Every change increments `version`; `updated_at` is UTC with milliseconds.

CREATE TABLE organizations (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1,
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE engagements (
    id          TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
                  || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id      TEXT NOT NULL REFERENCES organizations (id),
    name        TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description TEXT NOT NULL DEFAULT '',
    status      TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('draft', 'active', 'paused', 'completed')),
    budget      REAL CHECK (budget >= 0),
    version     INTEGER NOT NULL DEFAULT 1,
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE INDEX engagements_by_org ON engagements (org_id);

CREATE TABLE tasks (
    id            TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    engagement_id TEXT NOT NULL REFERENCES engagements (id) ON DELETE CASCADE,
    title         TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    status        TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'running', 'done', 'failed')),
    agent_id      TEXT REFERENCES agents (id) ON DELETE SET NULL,
    hours         REAL NOT NULL DEFAULT 0 CHECK (hours >= 0),
    due           TEXT,
    version       INTEGER NOT NULL DEFAULT 1,
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE INDEX tasks_by_engagement ON tasks (engagement_id);

CREATE TABLE agents (
    id         TEXT PRIMARY KEY DEFAULT ('agent-' || lower(hex(randomblob(8)))),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    role       TEXT NOT NULL DEFAULT 'worker',
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE agent_status (
    agent_id   TEXT PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE,
    status     TEXT NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'busy', 'offline', 'error')),
    task_id    TEXT REFERENCES tasks (id) ON DELETE SET NULL,
    load       REAL NOT NULL DEFAULT 0 CHECK (load BETWEEN 0 AND 1),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE agent_configs (
    agent_id   TEXT PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE,
    document   TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(document)),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE activities (
    id         TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    agent_id   TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 100),
    message    TEXT NOT NULL DEFAULT '',
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE INDEX activities_by_agent ON activities (agent_id, updated_at);

CREATE TRIGGER agent_parts AFTER INSERT ON agents BEGIN
    INSERT INTO agent_status (agent_id) VALUES (new.id);
    INSERT INTO agent_configs (agent_id) VALUES (new.id);
END;

CREATE TABLE datasources (
    id         TEXT PRIMARY KEY DEFAULT ('ds-' || lower(hex(randomblob(8)))),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    kind       TEXT NOT NULL DEFAULT 'postgres' CHECK (kind IN ('postgres', 'mysql', 's3', 'http', 'csv')),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE datasource_schemas (
    datasource_id TEXT PRIMARY KEY REFERENCES datasources (id) ON DELETE CASCADE,
    document      TEXT NOT NULL DEFAULT '{"tables": []}' CHECK (json_valid(document)),
    version       INTEGER NOT NULL DEFAULT 1,
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TRIGGER datasource_parts AFTER INSERT ON datasources BEGIN
    INSERT INTO datasource_schemas (datasource_id) VALUES (new.id);
END;

CREATE TABLE users (
    id         TEXT PRIMARY KEY DEFAULT ('user-' || lower(hex(randomblob(8)))),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    email      TEXT NOT NULL UNIQUE CHECK (email LIKE '%_@_%'),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE profiles (
    user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT NOT NULL DEFAULT '',
    title      TEXT NOT NULL DEFAULT '',
    bio        TEXT NOT NULL DEFAULT '',
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE preferences (
    user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    document   TEXT NOT NULL DEFAULT '{"theme": "light", "locale": "en"}' CHECK (json_valid(document)),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TRIGGER user_parts AFTER INSERT ON users BEGIN
    INSERT INTO profiles (user_id) VALUES (new.id);
    INSERT INTO preferences (user_id) VALUES (new.id);
END;

CREATE TABLE sessions (
    token      TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+8 hours')),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE embeddings (
    hash       TEXT PRIMARY KEY,
    text       TEXT NOT NULL,
    vector     TEXT NOT NULL CHECK (json_valid(vector)),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE pipelines (
    id         TEXT PRIMARY KEY DEFAULT ('pipeline-' || lower(hex(randomblob(8)))),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    schedule   TEXT NOT NULL DEFAULT 'manual',
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE pipeline_runs (
    id          TEXT PRIMARY KEY DEFAULT ('run-' || lower(hex(randomblob(8)))),
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    status      TEXT NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    progress    REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    version     INTEGER NOT NULL DEFAULT 1,
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE INDEX runs_by_pipeline ON pipeline_runs (pipeline_id, updated_at);

CREATE TABLE configs (
    name       TEXT PRIMARY KEY,
    document   TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(document)),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;

CREATE TABLE reference_data (
    name       TEXT PRIMARY KEY,
    document   TEXT NOT NULL CHECK (json_valid(document)),
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
