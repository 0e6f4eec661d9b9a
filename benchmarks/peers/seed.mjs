// The seed's statements, as it issues them. Commands and answers are JSON, one a line; seconds are timed here.
import { createInterface } from "node:readline";
import postgres from "postgres";

let sql, project;

async function append(session, entries, subpath) {
  const rows = entries.map((entry) => ({
    project_key: project,
    session_id: session,
    subpath: subpath ?? "",
    entry: sql.json(entry),
  }));
  await sql`INSERT INTO claude_session_entries ${sql(rows, "project_key", "session_id", "subpath", "entry")}`;
}

async function appendAll(session, entries) {
  for (const entry of entries) await append(session, [entry]);
}

const commands = {
  async open(c) {
    project = c.project;
    const at = c.path ? { path: c.path } : { host: c.host, port: c.port };
    sql = postgres({ ...at, database: c.database, username: "postgres", onnotice() {} });
    await sql`SELECT 1`;
  },
  close: () => sql.end(),
  append: (c) => append(c.session, c.entries, c.subpath),
  append_at_once: (c) => Promise.all(Object.entries(c.batches).map(([s, entries]) => appendAll(s, entries))),
  load: (c) => sql`
    SELECT entry FROM claude_session_entries
    WHERE project_key = ${project} AND session_id = ${c.session} AND subpath = '' ORDER BY id`,
  list_sessions: () => sql`
    SELECT session_id, extract(epoch FROM max(created_at)) * 1000 AS mtime FROM claude_session_entries
    WHERE project_key = ${project} AND subpath = '' GROUP BY session_id`,
  list_subkeys: (c) => sql`
    SELECT DISTINCT subpath FROM claude_session_entries
    WHERE project_key = ${project} AND session_id = ${c.session} AND subpath <> ''`,
  delete: (c) => sql`
    DELETE FROM claude_session_entries WHERE project_key = ${project} AND session_id = ${c.session}`,
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    const start = process.hrtime.bigint();
    await commands[command.command](command);
    answer = { seconds: Number(process.hrtime.bigint() - start) / 1e9 };
  } catch (error) {
    answer = { error: String(error) };
  }
  console.log(JSON.stringify(answer));
}
