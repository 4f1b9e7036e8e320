// What was said: sessions, their episodes, and turns. place: the order in which turns came; n: that of the first of a
// session. began: when the first turn of an episode was said. words: what a turn is found by, tenant: its namespace and
// scope; both are asked for, so no tenant's turns are cut off by another's. A forgotten turn leaves its id alone.

CREATE CONSTRAINT mem_session IF NOT EXISTS FOR (n:MemSession) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_session_n IF NOT EXISTS FOR (n:MemSession) ON (n.ns, n.n);
CREATE CONSTRAINT mem_episode IF NOT EXISTS FOR (n:MemEpisode) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_episode_began IF NOT EXISTS FOR (n:MemEpisode) ON (n.ns, n.began, n.n);
CREATE INDEX mem_episode_session IF NOT EXISTS FOR (n:MemEpisode) ON (n.session, n.number);
CREATE CONSTRAINT mem_turn IF NOT EXISTS FOR (n:MemTurn) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_turn_place IF NOT EXISTS FOR (n:MemTurn) ON (n.ns, n.place);
CREATE INDEX mem_turn_session IF NOT EXISTS FOR (n:MemTurn) ON (n.session, n.place);
CREATE INDEX mem_turn_episode IF NOT EXISTS FOR (n:MemTurn) ON (n.episode, n.place);
CREATE INDEX mem_turn_at IF NOT EXISTS FOR (n:MemTurn) ON (n.ns, n.at, n.place);
CREATE INDEX mem_turn_source IF NOT EXISTS FOR (n:MemTurn) ON (n.source);
CREATE FULLTEXT INDEX mem_turn_text IF NOT EXISTS FOR (n:MemTurn) ON EACH [n.tenant, n.words]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'whitespace'}};
CREATE CONSTRAINT mem_forgotten IF NOT EXISTS FOR (n:MemForgotten) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_forgotten_n IF NOT EXISTS FOR (n:MemForgotten) ON (n.ns, n.n);
// What a role may see: one node for each scope.
CREATE CONSTRAINT mem_role IF NOT EXISTS FOR (n:MemRole) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_role_key IF NOT EXISTS FOR (n:MemRole) ON (n.ns, n.key);
