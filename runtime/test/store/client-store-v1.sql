-- The store of an imwire client as version 1 made it, for the test of its migration. Never changed.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE sends (
  id BLOB PRIMARY KEY, conversation BLOB NOT NULL, content_type BLOB NOT NULL, body BLOB NOT NULL,
  body_crc32 INTEGER NOT NULL, client_time_ms INTEGER NOT NULL, place INTEGER NOT NULL, first_sent_ms REAL,
  state TEXT NOT NULL, code INTEGER NOT NULL
);
CREATE TABLE conversations (
  name BLOB PRIMARY KEY, cursor INTEGER NOT NULL, head INTEGER NOT NULL, floor INTEGER NOT NULL,
  ended INTEGER NOT NULL
);
CREATE TABLE entries (
  conversation BLOB NOT NULL, seq INTEGER NOT NULL, entry BLOB NOT NULL, damaged INTEGER NOT NULL,
  PRIMARY KEY (conversation, seq)
) WITHOUT ROWID;
CREATE TABLE gaps (
  place INTEGER PRIMARY KEY, conversation BLOB NOT NULL, from_seq INTEGER NOT NULL, up_to_seq INTEGER NOT NULL,
  reason INTEGER NOT NULL
);
CREATE INDEX gaps_of_conversation ON gaps (conversation);
CREATE TABLE unconfirmed (
  conversation BLOB NOT NULL, identity BLOB NOT NULL, seq INTEGER NOT NULL, entry BLOB NOT NULL,
  damaged INTEGER NOT NULL, PRIMARY KEY (conversation, identity)
) WITHOUT ROWID;
PRAGMA application_id = 1768781667;
PRAGMA user_version = 1;
