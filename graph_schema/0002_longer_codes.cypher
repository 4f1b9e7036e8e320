// Search codes have 512 bits from here on. Those of before are taken out, and the names wait for their vectors: the
// first client that searches gives them new ones. The epoch tells clients to load the codes again.

MATCH (n:MemNamespace) SET n.epoch = n.epoch + 1;
MATCH (e:MemEntity) WHERE e.coded IS NOT NULL
CALL (e) { SET e.pending = e.n REMOVE e.code, e.coded } IN TRANSACTIONS OF 5000 ROWS;
