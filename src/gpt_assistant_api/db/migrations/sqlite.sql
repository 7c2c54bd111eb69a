CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE users (
	user_id TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_users PRIMARY KEY (user_id)
);

CREATE TABLE threads (
	thread_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	title TEXT NOT NULL, 
	head_id INTEGER, 
	active_run_id TEXT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_threads PRIMARY KEY (thread_id), 
	CONSTRAINT fk_threads_user_id FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE
);

CREATE INDEX ix_threads_user_id_updated_at_thread_id ON threads (user_id, updated_at, thread_id);

CREATE TABLE messages (
	message_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	thread_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	role TEXT NOT NULL, 
	status TEXT NOT NULL, 
	content TEXT NOT NULL, 
	image_id TEXT, 
	reply_to INTEGER, 
	parent_id INTEGER, 
	run_id TEXT, 
	path_tokens INTEGER DEFAULT '0' NOT NULL, 
	message_time DATETIME NOT NULL, 
	CONSTRAINT ck_messages_role CHECK (role IN ('user', 'assistant')), 
	CONSTRAINT ck_messages_status CHECK (status IN ('in_progress', 'completed', 'incomplete', 'failed')), 
	CONSTRAINT fk_messages_thread_id FOREIGN KEY(thread_id) REFERENCES threads (thread_id) ON DELETE CASCADE, 
	CONSTRAINT fk_messages_reply_to FOREIGN KEY(reply_to) REFERENCES messages (message_id) ON DELETE SET NULL, 
	CONSTRAINT fk_messages_parent_id FOREIGN KEY(parent_id) REFERENCES messages (message_id)
);

CREATE INDEX ix_messages_thread_id_message_id ON messages (thread_id, message_id);

CREATE INDEX ix_messages_thread_id_parent_id_role_message_id ON messages (thread_id, parent_id, role, message_id);

CREATE INDEX ix_messages_user_id_message_id ON messages (user_id, message_id);

CREATE INDEX ix_messages_parent_id ON messages (parent_id);

CREATE INDEX ix_messages_reply_to ON messages (reply_to);

CREATE INDEX ix_messages_with_files ON messages (thread_id, message_id) WHERE image_id IS NOT NULL;

CREATE TABLE files (
	file_id TEXT NOT NULL, 
	user_id TEXT, 
	filename TEXT NOT NULL, 
	content_type TEXT NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	sha256 TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_files PRIMARY KEY (file_id), 
	CONSTRAINT fk_files_user_id FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE
);

CREATE INDEX ix_files_unclaimed ON files (created_at) WHERE user_id IS NULL;

CREATE TABLE message_files (
	message_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	file_id TEXT NOT NULL, 
	CONSTRAINT pk_message_files PRIMARY KEY (message_id, position), 
	CONSTRAINT fk_message_files_message_id FOREIGN KEY(message_id) REFERENCES messages (message_id) ON DELETE CASCADE, 
	CONSTRAINT fk_message_files_file_id FOREIGN KEY(file_id) REFERENCES files (file_id) ON DELETE CASCADE
);

CREATE INDEX ix_message_files_file_id ON message_files (file_id);

CREATE TABLE runs (
	run_id TEXT NOT NULL, 
	thread_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	message_id INTEGER NOT NULL, 
	reply_to INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	model TEXT, 
	input_tokens INTEGER, 
	output_tokens INTEGER, 
	total_tokens INTEGER, 
	error_code TEXT, 
	error_detail TEXT, 
	retry_after_seconds INTEGER, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, key_id TEXT, traceparent TEXT, worker_id TEXT, 
	CONSTRAINT pk_runs PRIMARY KEY (run_id), 
	CONSTRAINT ck_runs_status CHECK (status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')), 
	CONSTRAINT fk_runs_thread_id FOREIGN KEY(thread_id) REFERENCES threads (thread_id) ON DELETE CASCADE, 
	CONSTRAINT fk_runs_message_id FOREIGN KEY(message_id) REFERENCES messages (message_id) ON DELETE CASCADE
);

CREATE INDEX ix_runs_thread_id_message_id ON runs (thread_id, message_id);

CREATE INDEX ix_runs_message_id ON runs (message_id);

CREATE INDEX ix_runs_user_id_created_at ON runs (user_id, created_at);

CREATE INDEX ix_runs_unfinished ON runs (user_id, created_at) WHERE status IN ('queued', 'in_progress');

CREATE TABLE api_keys (
	key_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	prefix TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	revoked_at DATETIME, 
	CONSTRAINT pk_api_keys PRIMARY KEY (key_id), 
	CONSTRAINT uq_api_keys_hash UNIQUE (hash)
);

CREATE TABLE idempotency_keys (
	user_id TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (user_id, "key"), 
	CONSTRAINT fk_idempotency_keys_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id) ON DELETE CASCADE
);

CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE INDEX ix_idempotency_keys_run_id ON idempotency_keys (run_id);

CREATE VIRTUAL TABLE messages_fts USING fts5 (owner, content, content = 'finished_messages', content_rowid = 'message_id', tokenize = "unicode61 remove_diacritics 0");

CREATE TABLE daily_usage (
	user_id TEXT NOT NULL, 
	day TEXT NOT NULL, 
	runs INTEGER NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	total_tokens INTEGER NOT NULL, 
	CONSTRAINT pk_daily_usage PRIMARY KEY (user_id, day)
);

CREATE TABLE daily_key_usage (
	key_id TEXT NOT NULL, 
	day TEXT NOT NULL, 
	part INTEGER NOT NULL, 
	total_tokens INTEGER NOT NULL, 
	CONSTRAINT pk_daily_key_usage PRIMARY KEY (key_id, day, part)
);

CREATE INDEX ix_runs_unfinished_of_key ON runs (key_id) WHERE status IN ('queued', 'in_progress');

CREATE INDEX ix_files_user_id_file_id_size_bytes ON files (user_id, file_id, size_bytes);

CREATE TABLE workers (
	worker_id TEXT NOT NULL, 
	beats INTEGER NOT NULL, 
	CONSTRAINT pk_workers PRIMARY KEY (worker_id)
);

CREATE TABLE unindexed_messages (message_id INTEGER PRIMARY KEY);

CREATE VIEW finished_messages AS SELECT message_id, 'u' || lower(hex(messages.user_id)) AS owner, content FROM messages WHERE status <> 'in_progress' AND message_id NOT IN unindexed_messages;

CREATE TRIGGER messages_fts_inserted AFTER INSERT ON messages WHEN new.status <> 'in_progress' BEGIN INSERT OR IGNORE INTO unindexed_messages (message_id) VALUES (new.message_id); END;

CREATE TRIGGER messages_fts_deleted AFTER DELETE ON messages WHEN old.status <> 'in_progress' BEGIN INSERT INTO messages_fts (messages_fts, rowid, owner, content) SELECT 'delete', old.message_id, 'u' || lower(hex(old.user_id)), old.content WHERE NOT EXISTS (SELECT 1 FROM unindexed_messages WHERE message_id = old.message_id); DELETE FROM unindexed_messages WHERE message_id = old.message_id; END;

CREATE TRIGGER messages_fts_left BEFORE UPDATE OF user_id, status, content ON messages WHEN old.status <> 'in_progress' BEGIN INSERT INTO messages_fts (messages_fts, rowid, owner, content) SELECT 'delete', old.message_id, 'u' || lower(hex(old.user_id)), old.content WHERE NOT EXISTS (SELECT 1 FROM unindexed_messages WHERE message_id = old.message_id); DELETE FROM unindexed_messages WHERE message_id = old.message_id; END;

CREATE TRIGGER messages_fts_entered AFTER UPDATE OF user_id, status, content ON messages WHEN new.status <> 'in_progress' BEGIN INSERT OR IGNORE INTO unindexed_messages (message_id) VALUES (new.message_id); END;

INSERT INTO alembic_version (version_num) VALUES ('20261126_1100');

