//! Computed resources: dashboards, daily metrics, the status of a pipeline.

use crate::{call::Call, database::Statements, problem::Problem, reply::Reply, resources};

/// `GET /dashboards/{org}/stats`. Deliberately slow: it counts the activity in every minute of a year.
pub(crate) fn stats(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let found = db.one(
        "WITH RECURSIVE minutes (minute) AS (
             SELECT 0 UNION ALL SELECT minute + 1 FROM minutes WHERE minute + 1 < 365 * 24 * 60
         ),
         activity (minute, count) AS (
             SELECT (unixepoch() - unixepoch(a.updated_at)) / 60, count(*)
             FROM activities a JOIN agents ON agents.id = a.agent_id
             WHERE agents.org_id = ?1 GROUP BY 1
         ),
         load (busy, most) AS (
             SELECT count(activity.count), coalesce(max(activity.count), 0)
             FROM minutes LEFT JOIN activity USING (minute)
         )
         SELECT json_object(
             'org_id', org.id,
             'name', org.name,
             'engagements', (SELECT count(*) FROM engagements WHERE org_id = org.id),
             'active', (SELECT count(*) FROM engagements WHERE org_id = org.id AND status = 'active'),
             'budget', (SELECT coalesce(sum(budget), 0) FROM engagements WHERE org_id = org.id),
             'agents', (SELECT count(*) FROM agents WHERE org_id = org.id),
             'open_tasks', (SELECT count(*) FROM tasks JOIN engagements e ON e.id = engagement_id
                            WHERE e.org_id = org.id AND tasks.status = 'open'),
             'busy_minutes', load.busy,
             'most_in_a_minute', load.most,
             'computed_at', strftime('%Y-%m-%dT%H:%M:%fZ'))
         FROM organizations org, load WHERE org.id = ?1",
        [call.path("org")],
    )?;
    Ok(Reply::ok(
        &found.ok_or_else(|| Problem::not_found("organization"))?,
    ))
}

/// `GET /dashboards/{org}/engagements`: names and statuses of an organization's engagements.
pub(crate) fn engagements(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let found = db.one(
        "SELECT json_object('org_id', org.id, 'engagements', (
             SELECT json_group_array(json_object('id', id, 'name', name, 'status', status) ORDER BY name)
             FROM engagements WHERE org_id = org.id))
         FROM organizations org WHERE org.id = ?",
        [call.path("org")],
    )?;
    Ok(Reply::ok(
        &found.ok_or_else(|| Problem::not_found("organization"))?,
    ))
}

/// `GET /engagements/{id}/metrics/daily`: tasks and hours by day.
pub(crate) fn daily_metrics(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    resources::ENGAGEMENT.row(db, call)?;
    let days = db.all(
        "SELECT json_object('day', substr(updated_at, 1, 10), 'tasks', count(*),
                            'done', sum(status = 'done'), 'hours', sum(hours))
         FROM tasks WHERE engagement_id = ? GROUP BY substr(updated_at, 1, 10) ORDER BY 1",
        [call.path("id")],
    )?;
    Ok(Reply::ok(
        &serde_json::json!({ "engagement_id": call.path("id"), "days": days }),
    ))
}

/// `GET /pipelines/{id}/status`: the status of the latest run.
pub(crate) fn pipeline_status(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let found = db.one(
        "SELECT json_object('pipeline_id', p.id, 'name', p.name, 'runs', (SELECT count(*) FROM pipeline_runs WHERE pipeline_id = p.id),
                            'latest_run', r.id, 'status', coalesce(r.status, 'never run'), 'progress', r.progress)
         FROM pipelines p LEFT JOIN pipeline_runs r ON r.pipeline_id = p.id
         WHERE p.id = ? ORDER BY r.rowid DESC LIMIT 1",
        [call.path("id")],
    )?;
    Ok(Reply::ok(
        &found.ok_or_else(|| Problem::not_found("pipeline"))?,
    ))
}
