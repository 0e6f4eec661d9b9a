BEGIN;

CREATE TABLE boocode_sessions_alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT boocode_sessions_alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE IF NOT EXISTS claude_session_entries (
    id BIGSERIAL NOT NULL, 
    project_key TEXT NOT NULL, 
    session_id TEXT NOT NULL, 
    subpath TEXT DEFAULT '' NOT NULL, 
    dedup_key TEXT, 
    entry JSONB NOT NULL, 
    verbatim TEXT, 
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    CONSTRAINT claude_session_entries_pkey PRIMARY KEY (id)
);

LOCK TABLE claude_session_entries IN SHARE ROW EXCLUSIVE MODE;

UPDATE claude_session_entries SET subpath = coalesce(subpath, ''), created_at = coalesce(created_at, clock_timestamp()) WHERE (subpath IS NULL OR created_at IS NULL);

CREATE UNIQUE INDEX IF NOT EXISTS claude_session_entries_transcript_idx ON claude_session_entries (project_key, session_id, subpath, id);

CREATE INDEX IF NOT EXISTS claude_session_entries_messages_idx ON claude_session_entries ((entry ->> 'type'), substr(entry ->> 'timestamp', 1, 64)) WHERE entry ->> 'type' IN ('user', 'assistant');

ALTER TABLE claude_session_entries ADD COLUMN IF NOT EXISTS dedup_key TEXT, ADD COLUMN IF NOT EXISTS verbatim TEXT, ALTER COLUMN project_key SET NOT NULL, ALTER COLUMN session_id SET NOT NULL, ALTER COLUMN subpath SET DEFAULT '', ALTER COLUMN subpath SET NOT NULL, ALTER COLUMN entry SET NOT NULL, ALTER COLUMN created_at SET DEFAULT clock_timestamp(), ALTER COLUMN created_at SET NOT NULL;

CREATE UNIQUE INDEX IF NOT EXISTS claude_session_entries_dedup_idx ON claude_session_entries (project_key, session_id, subpath, dedup_key) WHERE dedup_key IS NOT NULL;

CREATE INDEX IF NOT EXISTS claude_session_entries_unclaimed_idx ON claude_session_entries (project_key, subpath, session_id, created_at) WHERE dedup_key IS NULL;

CREATE TABLE claude_session_summaries (
    project_key TEXT NOT NULL, 
    session_id TEXT NOT NULL, 
    turn BIGINT NOT NULL, 
    folded_id BIGINT, 
    data TEXT, 
    updated_at TIMESTAMP WITH TIME ZONE, 
    held BOOLEAN DEFAULT false NOT NULL, 
    CONSTRAINT claude_session_summaries_pkey PRIMARY KEY (project_key, session_id)
);

DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN ALTER TABLE claude_session_entries ALTER COLUMN entry SET COMPRESSION lz4; END IF; END $$;

INSERT INTO boocode_sessions_alembic_version (version_num) VALUES ('0001') RETURNING boocode_sessions_alembic_version.version_num;

COMMIT;

INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, entry, verbatim, created_at) VALUES ('1', 'p', 's', '', 'a',  E'{"it''s": "a \\\\ quote", "type": "user", "uuid": "a", "message": {"content": "the first prompt"}}', NULL, '2026-11-22 14:25:29.589573+00');
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, entry, verbatim, created_at) VALUES ('2', 'p', 's', '', '~dKKYkK965MNfqwb0.1', '{"n": [100000000000000000000000, 0.0, 1180591620717411303424, 1.5], "text": "� � 😀", "type": "mode"}',  E'{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\\u0000 \\ud800 \\ud83d\\ude00"}', '2026-11-22 14:25:29.58989+00');
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, entry, verbatim, created_at) VALUES ('3', 'p', 's', '', 'b', '{"type": "assistant", "uuid": "b", "message": {"content": [{"text": "%s ünï", "type": "text"}]}}', NULL, '2026-11-22 14:25:29.589917+00');
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, entry, verbatim, created_at) VALUES ('4', 'p', 's', 'subagents/workflows/w/agent-x', 'c', '{"type": "user", "uuid": "c", "isSidechain": true}', NULL, '2026-11-22 14:25:29.651864+00');
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, entry, verbatim, created_at) VALUES ('5', 'p', 'of another writer', '', NULL, '{"type": "user", "uuid": "d", "message": {"content": "theirs"}}', NULL, '2026-11-22 14:25:29.667548+00');
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, entry, verbatim, created_at) VALUES ('6', 'p', 'of another writer', '', NULL, '{"type": "user", "uuid": "d"}', NULL, '2026-11-22 14:25:29.671103+00');
INSERT INTO claude_session_summaries (project_key, session_id, turn, folded_id, data, updated_at, held) VALUES ('p', 's', '1136595715506867003', '3', '{"is_sidechain":false,"first_prompt":"the first prompt","first_prompt_locked":true}', '2026-11-22 14:25:29.599611+00', 'false');
SELECT setval('claude_session_entries_id_seq', 10);
