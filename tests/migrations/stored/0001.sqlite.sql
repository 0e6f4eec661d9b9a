BEGIN TRANSACTION;
CREATE TABLE boocode_sessions_alembic_version (
	version_num VARCHAR(32) NOT NULL, compatible_range VARCHAR(80) DEFAULT '0001..0001', 
	CONSTRAINT boocode_sessions_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "boocode_sessions_alembic_version" VALUES('0001','0001..0001');
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
	lease_until DATETIME, 
	fencing_token BIGINT DEFAULT 0 NOT NULL, 
	repairs BIGINT DEFAULT 0 NOT NULL, 
	settlements BIGINT DEFAULT 0 NOT NULL, 
	turns BIGINT DEFAULT 0 NOT NULL, 
	input_tokens BIGINT DEFAULT 0 NOT NULL, 
	output_tokens BIGINT DEFAULT 0 NOT NULL, 
	cache_read_tokens BIGINT DEFAULT 0 NOT NULL, 
	cache_write_tokens BIGINT DEFAULT 0 NOT NULL, 
	cost_usd FLOAT DEFAULT 0 NOT NULL, 
	last_error TEXT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT claude_agent_sessions_pkey PRIMARY KEY (chat_id, agent), 
	CONSTRAINT claude_agent_sessions_backend_check CHECK (backend IN ('claude_sdk', 'pty'))
);
CREATE TABLE claude_session_calls (
	digest_id BIGINT NOT NULL, 
	call BLOB NOT NULL, 
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
)
 WITHOUT ROWID

;
CREATE TABLE claude_session_digests (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	project_key TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	counted_to BIGINT DEFAULT 0 NOT NULL, 
	searched_to BIGINT DEFAULT 0 NOT NULL, 
	transcripts INTEGER DEFAULT 0 NOT NULL
);
CREATE TABLE claude_session_entries (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	position BIGINT DEFAULT 9223372036854775807 NOT NULL, 
	created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')) NOT NULL, 
	said_at DATETIME, 
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
	dedup_key BLOB, 
	type TEXT, 
	message_id TEXT, 
	request_id TEXT, 
	model TEXT, 
	tool_name TEXT, 
	tool_use_id TEXT, 
	forked_from TEXT, 
	entry JSON NOT NULL, 
	verbatim TEXT
);
INSERT INTO "claude_session_entries" VALUES(1,1795672753901752,'2026-11-26 05:59:13.915000',NULL,87,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,'p','s','',X'75FFE9AAEAA2A2D5048174DF0B80599EF0','user',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"user","uuid":"a","message":{"content":"the first prompt"},"it''s":"a \\ quote"}',NULL);
INSERT INTO "claude_session_entries" VALUES(2,1795672753901753,'2026-11-26 05:59:13.915000',NULL,84,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','s','',X'637CE30208B859F4B3D4E3DDFD5D00000001','mode',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\ufffd � 😀"}','{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\u0000 \ud800 \ud83d\ude00"}');
INSERT INTO "claude_session_entries" VALUES(3,1795672753901754,'2026-11-26 05:59:13.915000',NULL,89,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','s','',X'751E57B933B0A78203E21D41CC4B16D731','assistant',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"assistant","uuid":"b","message":{"content":[{"type":"text","text":"%s ünï"}]}}',NULL);
INSERT INTO "claude_session_entries" VALUES(4,1795672753901755,'2026-11-26 05:59:13.919000',NULL,45,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,'p','s','subagents/workflows/w/agent-x',X'75EC49F17F2C205644D3A0D242EB5A82EC','user',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"user","uuid":"c","isSidechain":true}',NULL);
INSERT INTO "claude_session_entries" VALUES(5,9223372036854775807,'2026-11-26 05:59:13.920000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','of another writer','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"type": "user", "uuid": "d", "message": {"content": "theirs"}}',NULL);
INSERT INTO "claude_session_entries" VALUES(6,9223372036854775807,'2026-11-26 05:59:13.920000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','of another writer','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"type": "user", "uuid": "d"}',NULL);
CREATE TABLE claude_session_texts (
	id INTEGER NOT NULL, 
	digest_id BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	project_key TEXT NOT NULL, 
	words TEXT NOT NULL, 
	CONSTRAINT claude_session_texts_pkey PRIMARY KEY (id)
);
CREATE TABLE claude_session_tool_uses (
	digest_id BIGINT NOT NULL, 
	call BLOB NOT NULL, 
	copied_from TEXT DEFAULT '' NOT NULL, 
	asked_at BIGINT, 
	answered_at BIGINT, 
	failed SMALLINT, 
	shared SMALLINT NOT NULL, 
	project_key TEXT NOT NULL, 
	tool TEXT, 
	CONSTRAINT claude_session_tool_uses_pkey PRIMARY KEY (digest_id, call, copied_from)
)
 WITHOUT ROWID

;
PRAGMA writable_schema=ON;
INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)VALUES('table','claude_session_words','claude_session_words',0,'CREATE VIRTUAL TABLE claude_session_words USING fts5(words, content=''claude_session_texts'', content_rowid=''id'', columnsize=0, tokenize=''unicode61 remove_diacritics 0'')');
CREATE TABLE 'claude_session_words_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO "claude_session_words_config" VALUES('version',4);
CREATE TABLE 'claude_session_words_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO "claude_session_words_data" VALUES(1,X'');
INSERT INTO "claude_session_words_data" VALUES(10,X'00000000000000');
CREATE TABLE 'claude_session_words_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;
CREATE TABLE claude_sessions (
	project_key TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	next_position BIGINT NOT NULL, 
	main_position BIGINT, 
	updated_at DATETIME, 
	entries BIGINT DEFAULT 0 NOT NULL, 
	subagents INTEGER DEFAULT 0 NOT NULL, 
	bytes BIGINT DEFAULT 0 NOT NULL, 
	tokens BIGINT DEFAULT 0 NOT NULL, 
	first_said_at DATETIME, 
	last_said_at DATETIME, 
	held BOOLEAN DEFAULT false NOT NULL, 
	data TEXT, 
	CONSTRAINT claude_sessions_pkey PRIMARY KEY (project_key, session_id)
);
INSERT INTO "claude_sessions" VALUES('p','s',1795672753901756,1795672753901754,'2026-11-26 05:59:13.915000',4,1,305,0,NULL,NULL,0,'{"is_sidechain":false,"first_prompt":"the first prompt","first_prompt_locked":true}');
CREATE UNIQUE INDEX claude_session_entries_position_idx ON claude_session_entries (project_key, session_id, subpath, position, id);
CREATE UNIQUE INDEX claude_session_entries_dedup_idx ON claude_session_entries (project_key, session_id, subpath, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX claude_session_entries_first_idx ON claude_session_entries (project_key, session_id, subpath) WHERE is_first IS NOT NULL;
CREATE INDEX claude_session_entries_unplaced_idx ON claude_session_entries (project_key, session_id, subpath, created_at) WHERE position = 9223372036854775807;
CREATE INDEX claude_session_entries_tools_idx ON claude_session_entries (tool_use_id, said_at, created_at, tool_count, tool_name, failed, forked_from) WHERE tool_count IS NOT NULL;
CREATE UNIQUE INDEX claude_session_digests_session_idx ON claude_session_digests (project_key, session_id);
CREATE INDEX claude_session_digests_behind_idx ON claude_session_digests (id) WHERE searched_to < counted_to;
CREATE INDEX claude_session_calls_call_idx ON claude_session_calls (call);
CREATE INDEX claude_session_calls_quarter_idx ON claude_session_calls (quarter, model, shared, at, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, digest_id);
CREATE INDEX claude_session_calls_shared_idx ON claude_session_calls (digest_id) WHERE shared = 1;
CREATE INDEX claude_session_tool_uses_call_idx ON claude_session_tool_uses (call);
CREATE INDEX claude_session_tool_uses_tool_idx ON claude_session_tool_uses (tool, shared, asked_at, failed, answered_at, digest_id);
CREATE INDEX claude_session_tool_uses_shared_idx ON claude_session_tool_uses (digest_id) WHERE shared = 1;
CREATE INDEX claude_session_texts_digest_idx ON claude_session_texts (digest_id);
CREATE INDEX claude_session_texts_words_idx ON claude_session_texts (words) WHERE id IS NULL;
CREATE INDEX claude_agent_sessions_session_idx ON claude_agent_sessions (project_key, session_id);
PRAGMA writable_schema=OFF;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('claude_session_entries',6);
COMMIT;
