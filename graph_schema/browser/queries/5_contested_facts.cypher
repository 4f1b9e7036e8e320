// Contested facts
// Several values stand where one is meant, because no source may close another's. Write a user between the quotes;
// empty: whoever's memory was written last. The list names the catalogue's relations that take one value; those you
// declared yourself are looked up.
WITH '' AS user, [
  'address', 'age', 'best friend', 'blood type', 'breed', 'budget', 'capital', 'chairperson', 'clothing size',
  'contact person', 'current location', 'current project', 'current team', 'customer number', 'date of birth',
  'date of death', 'deadline', 'dentist', 'diet', 'dissolved, abolished or demolished', 'doctor', 'door code',
  'email', 'emergency contact', 'end time', 'engaged to', 'expires on', 'father', 'favourite animal',
  'favourite author', 'favourite book', 'favourite colour', 'favourite drink', 'favourite film', 'favourite food',
  'favourite game', 'favourite musician', 'favourite place', 'favourite restaurant', 'favourite season',
  'favourite series', 'favourite song', 'favourite sport', 'favourite subject', 'favourite team', 'feels',
  'first name', 'full name', 'gender', 'head of government', 'head of state', 'headquarters location', 'height',
  'inception', 'last name', 'license plate', 'lives in', 'location of formation', 'maiden name', 'manager',
  'marital status', 'meeting time', 'member of political party', 'mother', 'mouth of the watercourse',
  'parent organization', 'parent taxon', 'partner', 'passport number', 'password', 'phone', 'pin', 'place of birth',
  'place of death', 'preferred contact method', 'preferred language', 'preferred name', 'price', 'pronouns', 'salary',
  'scheduled for', 'shoe size', 'spouse', 'start time', 'status', 'stored in', 'studies at', 'time zone',
  'unemployment rate', 'version', 'wakes up at', 'wedding anniversary', 'weight', 'wifi network', 'wifi password',
  'works as', 'works for'
] AS single
MATCH (n:MemNamespace) WHERE user = '' OR n.name CONTAINS '"' + user + '"'
WITH n, single ORDER BY n.last_at DESC LIMIT 1
OPTIONAL MATCH (m:MemMeta {name: 'relations'})
WITH n, single, [d IN split(coalesce(m.value, ''), '{') WHERE d CONTAINS '"cardinality": "one'] AS declared
MATCH (r:MemRelation) WHERE r.ns = n.id AND r.n > 0
  AND (r.label IN single OR any(d IN declared WHERE d CONTAINS '"label": "' + r.label + '"'))
MATCH (x:MemFact) WHERE x.rid = r.id
WITH x.sid AS sid, collect(x) AS values, r WHERE size(values) > 1
UNWIND values AS x
RETURN x.text AS fact, x.kind AS source, x.principal AS who, x.recorded_at AS recorded
ORDER BY sid, r.n, x.precedence DESC LIMIT 100
