BEGIN;

CREATE TABLE boocode_sessions_alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT boocode_sessions_alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE IF NOT EXISTS claude_session_entries (
    id BIGSERIAL NOT NULL, 
    position BIGINT DEFAULT 9223372036854775807 NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    said_at TIMESTAMP WITH TIME ZONE, 
    size INTEGER, 
    input_tokens INTEGER, 
    output_tokens INTEGER, 
    cache_read_tokens INTEGER, 
    cache_write_tokens INTEGER, 
    cache_write_1h_tokens INTEGER, 
    tool_count SMALLINT, 
    failed BOOLEAN, 
    is_first BOOLEAN, 
    project_key TEXT NOT NULL, 
    session_id TEXT NOT NULL, 
    subpath TEXT DEFAULT '' NOT NULL, 
    dedup_key BYTEA, 
    type TEXT, 
    message_id TEXT, 
    request_id TEXT, 
    model TEXT, 
    tool_name TEXT, 
    tool_use_id TEXT, 
    forked_from TEXT, 
    entry JSONB NOT NULL, 
    verbatim TEXT, 
    CONSTRAINT claude_session_entries_pkey PRIMARY KEY (id)
);

LOCK TABLE claude_session_entries IN SHARE ROW EXCLUSIVE MODE;

UPDATE claude_session_entries SET subpath = coalesce(subpath, ''), created_at = coalesce(created_at, clock_timestamp()) WHERE (subpath IS NULL OR created_at IS NULL);

ALTER TABLE claude_session_entries ADD COLUMN IF NOT EXISTS position BIGINT NOT NULL DEFAULT 9223372036854775807, ADD COLUMN IF NOT EXISTS said_at TIMESTAMP WITH TIME ZONE, ADD COLUMN IF NOT EXISTS size INTEGER, ADD COLUMN IF NOT EXISTS input_tokens INTEGER, ADD COLUMN IF NOT EXISTS output_tokens INTEGER, ADD COLUMN IF NOT EXISTS cache_read_tokens INTEGER, ADD COLUMN IF NOT EXISTS cache_write_tokens INTEGER, ADD COLUMN IF NOT EXISTS cache_write_1h_tokens INTEGER, ADD COLUMN IF NOT EXISTS tool_count SMALLINT, ADD COLUMN IF NOT EXISTS failed BOOLEAN, ADD COLUMN IF NOT EXISTS is_first BOOLEAN, ADD COLUMN IF NOT EXISTS dedup_key BYTEA, ADD COLUMN IF NOT EXISTS type TEXT, ADD COLUMN IF NOT EXISTS message_id TEXT, ADD COLUMN IF NOT EXISTS request_id TEXT, ADD COLUMN IF NOT EXISTS model TEXT, ADD COLUMN IF NOT EXISTS tool_name TEXT, ADD COLUMN IF NOT EXISTS tool_use_id TEXT, ADD COLUMN IF NOT EXISTS forked_from TEXT, ADD COLUMN IF NOT EXISTS verbatim TEXT, ALTER COLUMN project_key SET NOT NULL, ALTER COLUMN session_id SET NOT NULL, ALTER COLUMN subpath SET DEFAULT '', ALTER COLUMN subpath SET NOT NULL, ALTER COLUMN entry SET NOT NULL, ALTER COLUMN created_at SET DEFAULT clock_timestamp(), ALTER COLUMN created_at SET NOT NULL;

CREATE UNIQUE INDEX IF NOT EXISTS claude_session_entries_position_idx ON claude_session_entries (project_key, session_id, subpath, position, id);

CREATE UNIQUE INDEX IF NOT EXISTS claude_session_entries_dedup_idx ON claude_session_entries (project_key, session_id, subpath, dedup_key) WHERE dedup_key IS NOT NULL;

CREATE INDEX IF NOT EXISTS claude_session_entries_first_idx ON claude_session_entries (project_key, session_id, subpath) WHERE is_first IS NOT NULL;

CREATE INDEX IF NOT EXISTS claude_session_entries_unplaced_idx ON claude_session_entries (project_key, session_id, subpath, created_at) WHERE position = 9223372036854775807;

CREATE INDEX IF NOT EXISTS claude_session_entries_tools_idx ON claude_session_entries (tool_use_id, said_at, created_at, tool_count, tool_name, failed, forked_from) WHERE tool_count IS NOT NULL;

CREATE TABLE claude_sessions (
    project_key TEXT NOT NULL, 
    session_id TEXT NOT NULL, 
    next_position BIGINT NOT NULL, 
    main_position BIGINT, 
    updated_at TIMESTAMP WITH TIME ZONE, 
    entries BIGINT DEFAULT 0 NOT NULL, 
    subagents INTEGER DEFAULT 0 NOT NULL, 
    bytes BIGINT DEFAULT 0 NOT NULL, 
    tokens BIGINT DEFAULT 0 NOT NULL, 
    first_said_at TIMESTAMP WITH TIME ZONE, 
    last_said_at TIMESTAMP WITH TIME ZONE, 
    held BOOLEAN DEFAULT false NOT NULL, 
    data TEXT, 
    CONSTRAINT claude_sessions_pkey PRIMARY KEY (project_key, session_id)
);

CREATE TABLE claude_session_digests (
    id BIGSERIAL NOT NULL, 
    project_key TEXT NOT NULL, 
    session_id TEXT NOT NULL, 
    counted_to BIGINT DEFAULT 0 NOT NULL, 
    searched_to BIGINT DEFAULT 0 NOT NULL, 
    transcripts INTEGER DEFAULT 0 NOT NULL, 
    CONSTRAINT claude_session_digests_pkey PRIMARY KEY (id)
);

CREATE UNIQUE INDEX claude_session_digests_session_idx ON claude_session_digests (project_key, session_id);

CREATE INDEX claude_session_digests_behind_idx ON claude_session_digests (id) WHERE searched_to < counted_to;

CREATE TABLE claude_session_calls (
    digest_id BIGINT NOT NULL, 
    call BYTEA NOT NULL, 
    copied_from TEXT DEFAULT '' NOT NULL, 
    position BIGINT NOT NULL, 
    row_id BIGINT NOT NULL, 
    at BIGINT NOT NULL, 
    said_at BIGINT, 
    quarter INTEGER NOT NULL, 
    input_tokens INTEGER NOT NULL, 
    output_tokens INTEGER NOT NULL, 
    cache_read_tokens INTEGER NOT NULL, 
    cache_write_tokens INTEGER NOT NULL, 
    cache_write_1h_tokens INTEGER NOT NULL, 
    shared SMALLINT NOT NULL, 
    project_key TEXT NOT NULL, 
    model TEXT, 
    CONSTRAINT claude_session_calls_pkey PRIMARY KEY (digest_id, call, copied_from)
);

CREATE INDEX claude_session_calls_call_idx ON claude_session_calls (call);

CREATE INDEX claude_session_calls_quarter_idx ON claude_session_calls (quarter, model, shared, at, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, digest_id);

CREATE INDEX claude_session_calls_shared_idx ON claude_session_calls (digest_id) WHERE shared = 1;

CREATE TABLE claude_session_tool_uses (
    digest_id BIGINT NOT NULL, 
    call BYTEA NOT NULL, 
    copied_from TEXT DEFAULT '' NOT NULL, 
    asked_at BIGINT, 
    answered_at BIGINT, 
    failed SMALLINT, 
    shared SMALLINT NOT NULL, 
    project_key TEXT NOT NULL, 
    tool TEXT, 
    CONSTRAINT claude_session_tool_uses_pkey PRIMARY KEY (digest_id, call, copied_from)
);

CREATE INDEX claude_session_tool_uses_call_idx ON claude_session_tool_uses (call);

CREATE INDEX claude_session_tool_uses_tool_idx ON claude_session_tool_uses (tool, shared, asked_at, failed, answered_at, digest_id);

CREATE INDEX claude_session_tool_uses_shared_idx ON claude_session_tool_uses (digest_id) WHERE shared = 1;

CREATE TABLE claude_session_texts (
    id BIGINT NOT NULL, 
    digest_id BIGINT NOT NULL, 
    at BIGINT NOT NULL, 
    project_key TEXT NOT NULL, 
    words TSVECTOR NOT NULL, 
    CONSTRAINT claude_session_texts_pkey PRIMARY KEY (id)
);

CREATE INDEX claude_session_texts_digest_idx ON claude_session_texts (digest_id);

CREATE INDEX claude_session_texts_words_idx ON claude_session_texts USING gin (words);

CREATE TABLE claude_agent_sessions (
    chat_id TEXT NOT NULL, 
    agent TEXT NOT NULL, 
    backend TEXT DEFAULT 'claude_sdk' NOT NULL, 
    project_key TEXT NOT NULL, 
    session_id TEXT NOT NULL, 
    state TEXT DEFAULT 'idle' NOT NULL, 
    incomplete BOOLEAN DEFAULT false NOT NULL, 
    host TEXT, 
    pid INTEGER, 
    holder TEXT, 
    lease_until TIMESTAMP WITH TIME ZONE, 
    fencing_token BIGINT DEFAULT 0 NOT NULL, 
    repairs BIGINT DEFAULT 0 NOT NULL, 
    settlements BIGINT DEFAULT 0 NOT NULL, 
    turns BIGINT DEFAULT 0 NOT NULL, 
    input_tokens BIGINT DEFAULT 0 NOT NULL, 
    output_tokens BIGINT DEFAULT 0 NOT NULL, 
    cache_read_tokens BIGINT DEFAULT 0 NOT NULL, 
    cache_write_tokens BIGINT DEFAULT 0 NOT NULL, 
    cost_usd FLOAT(53) DEFAULT 0 NOT NULL, 
    last_error TEXT, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT claude_agent_sessions_pkey PRIMARY KEY (chat_id, agent), 
    CONSTRAINT claude_agent_sessions_backend_check CHECK (backend IN ('claude_sdk', 'pty'))
);

CREATE INDEX claude_agent_sessions_session_idx ON claude_agent_sessions (project_key, session_id);

DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN ALTER TABLE claude_session_entries ALTER COLUMN entry SET COMPRESSION lz4; END IF; END $$;

ALTER TABLE boocode_sessions_alembic_version ADD COLUMN compatible_range VARCHAR(80) DEFAULT '0001..0001';

INSERT INTO boocode_sessions_alembic_version (version_num) VALUES ('0001') RETURNING boocode_sessions_alembic_version.version_num;

COMMIT;

INSERT INTO claude_session_entries (id, position, created_at, said_at, size, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, tool_count, failed, is_first, project_key, session_id, subpath, dedup_key, type, message_id, request_id, model, tool_name, tool_use_id, forked_from, entry, verbatim) VALUES ('1', '1795672754159176', '2026-11-26 05:59:14.16997+00', NULL, '87', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'true', 'p', 's', '',  E'\\x75ffe9aaeaa2a2d5048174df0b80599ef0', 'user', NULL, NULL, NULL, NULL, NULL, NULL,  E'{"it''s": "a \\\\ quote", "type": "user", "uuid": "a", "message": {"content": "the first prompt"}}', NULL);
INSERT INTO claude_session_entries (id, position, created_at, said_at, size, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, tool_count, failed, is_first, project_key, session_id, subpath, dedup_key, type, message_id, request_id, model, tool_name, tool_use_id, forked_from, entry, verbatim) VALUES ('2', '1795672754159177', '2026-11-26 05:59:14.16997+00', NULL, '84', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'p', 's', '',  E'\\x63a976f9e17c9641d7aba0b434b800000001', 'mode', NULL, NULL, NULL, NULL, NULL, NULL, '{"n": [100000000000000000000000, 0.0, 1180591620717411303424, 1.5], "text": "� � 😀", "type": "mode"}',  E'{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\\u0000 \\ud800 \\ud83d\\ude00"}');
INSERT INTO claude_session_entries (id, position, created_at, said_at, size, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, tool_count, failed, is_first, project_key, session_id, subpath, dedup_key, type, message_id, request_id, model, tool_name, tool_use_id, forked_from, entry, verbatim) VALUES ('3', '1795672754159178', '2026-11-26 05:59:14.16997+00', NULL, '89', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'p', 's', '',  E'\\x751e57b933b0a78203e21d41cc4b16d731', 'assistant', NULL, NULL, NULL, NULL, NULL, NULL, '{"type": "assistant", "uuid": "b", "message": {"content": [{"text": "%s ünï", "type": "text"}]}}', NULL);
INSERT INTO claude_session_entries (id, position, created_at, said_at, size, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, tool_count, failed, is_first, project_key, session_id, subpath, dedup_key, type, message_id, request_id, model, tool_name, tool_use_id, forked_from, entry, verbatim) VALUES ('4', '1795672754159179', '2026-11-26 05:59:14.177008+00', NULL, '45', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'true', 'p', 's', 'subagents/workflows/w/agent-x',  E'\\x75ec49f17f2c205644d3a0d242eb5a82ec', 'user', NULL, NULL, NULL, NULL, NULL, NULL, '{"type": "user", "uuid": "c", "isSidechain": true}', NULL);
INSERT INTO claude_session_entries (id, position, created_at, said_at, size, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, tool_count, failed, is_first, project_key, session_id, subpath, dedup_key, type, message_id, request_id, model, tool_name, tool_use_id, forked_from, entry, verbatim) VALUES ('5', '9223372036854775807', '2026-11-26 05:59:14.178183+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'p', 'of another writer', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"type": "user", "uuid": "d", "message": {"content": "theirs"}}', NULL);
INSERT INTO claude_session_entries (id, position, created_at, said_at, size, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, tool_count, failed, is_first, project_key, session_id, subpath, dedup_key, type, message_id, request_id, model, tool_name, tool_use_id, forked_from, entry, verbatim) VALUES ('6', '9223372036854775807', '2026-11-26 05:59:14.178499+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'p', 'of another writer', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"type": "user", "uuid": "d"}', NULL);
INSERT INTO claude_sessions (project_key, session_id, next_position, main_position, updated_at, entries, subagents, bytes, tokens, first_said_at, last_said_at, held, data) VALUES ('p', 's', '1795672754159180', '1795672754159178', '2026-11-26 05:59:14.16997+00', '4', '1', '305', '0', NULL, NULL, 'false', '{"is_sidechain":false,"first_prompt":"the first prompt","first_prompt_locked":true}');
SELECT setval('claude_session_entries_id_seq', 10);
