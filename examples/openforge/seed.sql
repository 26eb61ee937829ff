-- Sample data for a new database.

INSERT INTO organizations (id, name) VALUES
    ('org-456', 'Northwind Foundry'),
    ('org-789', 'Harbour Analytics');

INSERT INTO users (id, org_id, email) VALUES
    ('user-123', 'org-456', 'ada@northwind.example'),
    ('user-456', 'org-456', 'grace@northwind.example'),
    ('user-789', 'org-789', 'linus@harbour.example');
UPDATE profiles SET name = 'Ada Byron', title = 'Engagement lead' WHERE user_id = 'user-123';
UPDATE profiles SET name = 'Grace Murray', title = 'Data engineer' WHERE user_id = 'user-456';
UPDATE preferences SET document = '{"theme": "dark", "locale": "en", "notifications": {"email": true, "chat": false}}'
    WHERE user_id = 'user-123';

INSERT INTO sessions (token, user_id, expires_at) VALUES
    ('session-of-user-123', 'user-123', '2999-12-31T00:00:00.000Z');

INSERT INTO agents (id, org_id, name, role) VALUES
    ('agent-001', 'org-456', 'Scout', 'discovery'),
    ('agent-002', 'org-456', 'Mason', 'integration'),
    ('agent-003', 'org-789', 'Clerk', 'reporting');
UPDATE agent_configs SET document = '{"model": "forge-small", "temperature": 0.2, "tools": ["search", "sql"]}'
    WHERE agent_id = 'agent-001';

INSERT INTO engagements (id, org_id, name, description, status, budget) VALUES
    ('550e8400-e29b-41d4-a716-446655440000', 'org-456', 'Supply chain discovery', 'Where do the parts wait?', 'active', 120000),
    ('550e8400-e29b-41d4-a716-446655440001', 'org-456', 'Quality dashboard', 'One page a day', 'draft', 30000),
    ('550e8400-e29b-41d4-a716-446655440002', 'org-789', 'Berth planning', 'Fewer ships at anchor', 'active', 80000);

INSERT INTO tasks (id, engagement_id, title, status, agent_id, hours, due) VALUES
    ('task-1', '550e8400-e29b-41d4-a716-446655440000', 'Interview the buyers', 'done', 'agent-001', 12, '2026-01-15'),
    ('task-2', '550e8400-e29b-41d4-a716-446655440000', 'Map the warehouses', 'running', 'agent-001', 7.5, '2026-01-20'),
    ('task-3', '550e8400-e29b-41d4-a716-446655440000', 'Model lead times', 'open', 'agent-002', 0, '2026-02-01'),
    ('task-4', '550e8400-e29b-41d4-a716-446655440002', 'Collect berth logs', 'open', 'agent-003', 2, NULL);

INSERT INTO activities (id, agent_id, kind, message) VALUES
    ('activity-1', 'agent-001', 'search', 'read 42 documents'),
    ('activity-2', 'agent-001', 'sql', 'joined orders and deliveries');

INSERT INTO datasources (id, org_id, name, kind) VALUES
    ('ds-001', 'org-456', 'Orders', 'postgres'),
    ('ds-002', 'org-789', 'Port calls', 'csv');
UPDATE datasource_schemas
    SET document = '{"tables": [{"name": "orders", "columns": [{"name": "id", "type": "uuid"}, {"name": "placed", "type": "timestamp"}]}]}'
    WHERE datasource_id = 'ds-001';

INSERT INTO pipelines (id, org_id, name, schedule) VALUES
    ('pipeline-001', 'org-456', 'Orders to lake', 'hourly');
INSERT INTO pipeline_runs (id, pipeline_id, status, progress) VALUES
    ('run-001', 'pipeline-001', 'succeeded', 1),
    ('run-002', 'pipeline-001', 'running', 0.4);

INSERT INTO configs (name, document) VALUES
    ('features', '{"embeddings": true, "beta": false}'),
    ('limits', '{"max_upload_mb": 25}');

INSERT INTO reference_data (name, document) VALUES
    ('engagement-statuses', '{"values": ["draft", "active", "paused", "completed"]}');
