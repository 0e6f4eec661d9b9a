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
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    facts JSONB, 
    entry JSONB NOT NULL, 
    verbatim TEXT, 
    CONSTRAINT claude_session_entries_pkey PRIMARY KEY (id)
);

LOCK TABLE claude_session_entries IN SHARE ROW EXCLUSIVE MODE;

UPDATE claude_session_entries SET subpath = coalesce(subpath, ''), created_at = coalesce(created_at, clock_timestamp()) WHERE (subpath IS NULL OR created_at IS NULL);

CREATE UNIQUE INDEX IF NOT EXISTS claude_session_entries_transcript_idx ON claude_session_entries (project_key, session_id, subpath, id);

ALTER TABLE claude_session_entries ADD COLUMN IF NOT EXISTS dedup_key TEXT, ADD COLUMN IF NOT EXISTS verbatim TEXT, ADD COLUMN IF NOT EXISTS facts JSONB, ALTER COLUMN project_key SET NOT NULL, ALTER COLUMN session_id SET NOT NULL, ALTER COLUMN subpath SET DEFAULT '', ALTER COLUMN subpath SET NOT NULL, ALTER COLUMN entry SET NOT NULL, ALTER COLUMN created_at SET DEFAULT clock_timestamp(), ALTER COLUMN created_at SET NOT NULL;

CREATE UNIQUE INDEX IF NOT EXISTS claude_session_entries_dedup_idx ON claude_session_entries (project_key, session_id, subpath, dedup_key) WHERE dedup_key IS NOT NULL;

CREATE INDEX IF NOT EXISTS claude_session_entries_unclaimed_idx ON claude_session_entries (project_key, subpath, session_id, created_at) WHERE dedup_key IS NULL;

CREATE INDEX IF NOT EXISTS claude_session_entries_unread_idx ON claude_session_entries (id) WHERE facts IS NULL;

CREATE INDEX IF NOT EXISTS claude_session_entries_facts_idx ON claude_session_entries ((facts ->> 0), facts, id) WHERE (facts ->> 1) IS NOT NULL OR (facts ->> 8) IS NOT NULL;

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

INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, created_at, facts, entry, verbatim) VALUES ('1', 'p', 's', '', 'a', '2026-11-22 15:58:06.882995+00', NULL,  E'{"it''s": "a \\\\ quote", "type": "user", "uuid": "a", "message": {"content": "the first prompt"}}', NULL);
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, created_at, facts, entry, verbatim) VALUES ('2', 'p', 's', '', '~cLKd8AIsaD329y2H.1', '2026-11-22 15:58:06.883153+00', '[]', '{"n": [100000000000000000000000, 0.0, 1180591620717411303424, 1.5], "text": "� � 😀", "type": "mode"}',  E'{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\\u0000 \\ud800 \\ud83d\\ude00"}');
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, created_at, facts, entry, verbatim) VALUES ('3', 'p', 's', '', 'b', '2026-11-22 15:58:06.883168+00', NULL, '{"type": "assistant", "uuid": "b", "message": {"content": [{"text": "%s ünï", "type": "text"}]}}', NULL);
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, created_at, facts, entry, verbatim) VALUES ('4', 'p', 's', 'subagents/workflows/w/agent-x', 'c', '2026-11-22 15:58:06.891612+00', NULL, '{"type": "user", "uuid": "c", "isSidechain": true}', NULL);
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, created_at, facts, entry, verbatim) VALUES ('5', 'p', 'of another writer', '', NULL, '2026-11-22 15:58:06.892575+00', NULL, '{"type": "user", "uuid": "d", "message": {"content": "theirs"}}', NULL);
INSERT INTO claude_session_entries (id, project_key, session_id, subpath, dedup_key, created_at, facts, entry, verbatim) VALUES ('6', 'p', 'of another writer', '', NULL, '2026-11-22 15:58:06.892862+00', NULL, '{"type": "user", "uuid": "d"}', NULL);
INSERT INTO claude_session_summaries (project_key, session_id, turn, folded_id, data, updated_at, held) VALUES ('p', 's', '948325506812681626', '3', '{"is_sidechain":false,"first_prompt":"the first prompt","first_prompt_locked":true}', '2026-11-22 15:58:06.884285+00', 'false');
SELECT setval('claude_session_entries_id_seq', 10);
