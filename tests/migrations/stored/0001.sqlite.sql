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
INSERT INTO "claude_session_entries" VALUES(1,1795668968571973,'2026-11-26 04:56:08.601000',NULL,87,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,'p','s','',X'75FFE9AAEAA2A2D5048174DF0B80599EF0','user',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"user","uuid":"a","message":{"content":"the first prompt"},"it''s":"a \\ quote"}',NULL);
INSERT INTO "claude_session_entries" VALUES(2,1795668968571974,'2026-11-26 04:56:08.601000',NULL,84,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','s','',X'63D82A311EAB5D94CD8479408DCE00000001','mode',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\ufffd � 😀"}','{"type":"mode","n":[1e+23,-0.0,1180591620717411303424,1.5],"text":"\u0000 \ud800 \ud83d\ude00"}');
INSERT INTO "claude_session_entries" VALUES(3,1795668968571975,'2026-11-26 04:56:08.601000',NULL,89,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','s','',X'751E57B933B0A78203E21D41CC4B16D731','assistant',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"assistant","uuid":"b","message":{"content":[{"type":"text","text":"%s ünï"}]}}',NULL);
INSERT INTO "claude_session_entries" VALUES(4,1795668968571976,'2026-11-26 04:56:08.628000',NULL,45,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,'p','s','subagents/workflows/w/agent-x',X'75EC49F17F2C205644D3A0D242EB5A82EC','user',NULL,NULL,NULL,NULL,NULL,NULL,'{"type":"user","uuid":"c","isSidechain":true}',NULL);
INSERT INTO "claude_session_entries" VALUES(5,9223372036854775807,'2026-11-26 04:56:08.639000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','of another writer','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"type": "user", "uuid": "d", "message": {"content": "theirs"}}',NULL);
INSERT INTO "claude_session_entries" VALUES(6,9223372036854775807,'2026-11-26 04:56:08.640000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'p','of another writer','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"type": "user", "uuid": "d"}',NULL);
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
INSERT INTO "claude_sessions" VALUES('p','s',1795668968571977,1795668968571975,'2026-11-26 04:56:08.601000',4,1,305,0,NULL,NULL,0,'{"is_sidechain":false,"first_prompt":"the first prompt","first_prompt_locked":true}');
CREATE UNIQUE INDEX claude_session_entries_position_idx ON claude_session_entries (project_key, session_id, subpath, position, id);
CREATE UNIQUE INDEX claude_session_entries_dedup_idx ON claude_session_entries (project_key, session_id, subpath, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX claude_session_entries_first_idx ON claude_session_entries (project_key, session_id, subpath) WHERE is_first IS NOT NULL;
CREATE INDEX claude_session_entries_unplaced_idx ON claude_session_entries (project_key, session_id, subpath, created_at) WHERE position = 9223372036854775807;
CREATE INDEX claude_session_entries_usage_idx ON claude_session_entries (request_id, message_id, said_at, created_at, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, forked_from, type) WHERE type = 'assistant';
CREATE INDEX claude_session_entries_tools_idx ON claude_session_entries (tool_use_id, said_at, created_at, tool_count, tool_name, failed, forked_from) WHERE tool_count IS NOT NULL;
CREATE INDEX claude_agent_sessions_session_idx ON claude_agent_sessions (project_key, session_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('claude_session_entries',6);
COMMIT;
