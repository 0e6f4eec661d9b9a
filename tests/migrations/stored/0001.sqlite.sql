BEGIN TRANSACTION;
CREATE TABLE boocode_sessions_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT boocode_sessions_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "boocode_sessions_alembic_version" VALUES('0001');
CREATE TABLE claude_session_entries (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	project_key TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	subpath TEXT DEFAULT '' NOT NULL, 
	dedup_key TEXT, 
	created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')) NOT NULL, 
	facts JSON, 
	entry JSON NOT NULL, 
	verbatim TEXT
);
INSERT INTO "claude_session_entries" VALUES(1,'p','s','','a','2026-11-22 15:58:06.250000',NULL,'{"type":"user","uuid":"a","message":{"content":"the first prompt"},"it''s":"a \\ quote"}',NULL);
INSERT INTO "claude_session_entries" VALUES(2,'p','s','','~Kdsrt3QAWyTBpDRb.1','2026-11-22 15:58:06.250000','[]','{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\ufffd � 😀"}','{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\u0000 \ud800 \ud83d\ude00"}');
INSERT INTO "claude_session_entries" VALUES(3,'p','s','','b','2026-11-22 15:58:06.250000',NULL,'{"type":"assistant","uuid":"b","message":{"content":[{"type":"text","text":"%s ünï"}]}}',NULL);
INSERT INTO "claude_session_entries" VALUES(4,'p','s','subagents/workflows/w/agent-x','c','2026-11-22 15:58:06.827000',NULL,'{"type":"user","uuid":"c","isSidechain":true}',NULL);
INSERT INTO "claude_session_entries" VALUES(5,'p','of another writer','',NULL,'2026-11-22 15:58:06.828000',NULL,'{"type": "user", "uuid": "d", "message": {"content": "theirs"}}',NULL);
INSERT INTO "claude_session_entries" VALUES(6,'p','of another writer','',NULL,'2026-11-22 15:58:06.828000',NULL,'{"type": "user", "uuid": "d"}',NULL);
CREATE TABLE claude_session_summaries (
	project_key TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	turn BIGINT NOT NULL, 
	folded_id BIGINT, 
	data TEXT, 
	updated_at DATETIME, 
	held BOOLEAN DEFAULT false NOT NULL, 
	CONSTRAINT claude_session_summaries_pkey PRIMARY KEY (project_key, session_id)
);
INSERT INTO "claude_session_summaries" VALUES('p','s',2560282246257238182,3,'{"is_sidechain":false,"first_prompt":"the first prompt","first_prompt_locked":true}','2026-11-22 15:58:06.825000',0);
CREATE UNIQUE INDEX claude_session_entries_transcript_idx ON claude_session_entries (project_key, session_id, subpath, id);
CREATE UNIQUE INDEX claude_session_entries_dedup_idx ON claude_session_entries (project_key, session_id, subpath, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX claude_session_entries_unclaimed_idx ON claude_session_entries (project_key, subpath, session_id, created_at) WHERE dedup_key IS NULL;
CREATE INDEX claude_session_entries_unread_idx ON claude_session_entries (id) WHERE facts IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('claude_session_entries',6);
COMMIT;
