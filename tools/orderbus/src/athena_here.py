"""Lets MiniStack's Athena, which is DuckDB, do what Athena does with the queries of the lake.

Athena speaks Trino's SQL, binds execution parameters, resolves views, and runs a query once a request token. MiniStack
hands the text to DuckDB as it is, and its CloudFormation knows no named queries. Here, and nowhere else, that is made up
for, so that the SQL of the template is Athena's own, and the very same text runs here.
"""

import base64
import contextvars
import json
import re

import sqlglot
from sqlglot import exp

PARAMETERS = contextvars.ContextVar("execution parameters", default=())
VIEW = re.compile(r"/\* Presto View: ([A-Za-z0-9+/=]+) \*/")


def literal(text):
    """An execution parameter: one literal. Athena takes more; what sends more here has pasted something."""
    value = sqlglot.parse_one(text, read="trino")
    inner = value.this if isinstance(value, (exp.Neg, exp.Cast)) else value
    if not isinstance(inner, exp.Literal):
        raise ValueError(f"not a literal: {text}")
    return value


def bind(query, parameters):
    """The tree of a query with its parameters in place, in the order in which they stand in the text."""
    marks = [token for token in sqlglot.tokenize(query, read="trino") if token.text == "?" and query[token.start] == "?"]
    if len(marks) != len(parameters):
        raise ValueError(f"Incorrect number of parameters: expected {len(marks)} but found {len(parameters)}")
    # https://docs.aws.amazon.com/athena/latest/ug/querying-with-prepared-statements.html
    for mark in sqlglot.parse_one(query, read="trino").find_all(exp.Placeholder):
        if mark.find_ancestor(exp.Where) is None:
            raise ValueError("a parameter stands outside a WHERE clause")
    for mark, text in reversed(list(zip(marks, parameters))):
        query = query[: mark.start] + literal(text).sql("trino") + query[mark.end + 1 :]
    return sqlglot.parse_one(query, read="trino")


def resolve_views(tree, view_of):
    """Puts what a view stands for in its place. `view_of` gives its SQL, or None for a table."""
    names = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if not table.db and table.name in names:
            continue
        text = view_of(table.db, table.name)
        if text is None:
            continue
        query = resolve_views(sqlglot.parse_one(text, read="trino"), view_of)
        alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name))
        table.replace(exp.Subquery(this=query, alias=alias))
    return tree


def as_duckdb(query, parameters, view_of):
    """The query as DuckDB understands it."""
    return resolve_views(bind(query, parameters), view_of).sql("duckdb")


def install():
    """Changes MiniStack, before it serves anything."""
    from ministack.core.responses import AccountRegionScopedDict, error_response_json, json_response
    from ministack.services import athena, glue
    from ministack.services.cloudformation import provisioners

    requests = AccountRegionScopedDict()
    start, run, relation = athena._start_query_execution, athena._run_duckdb, athena._table_relation

    def start_once(data):
        token = data.get("ClientRequestToken")
        parameters = data.get("ExecutionParameters") or []
        request = [data.get("QueryString"), parameters, data.get("WorkGroup")]
        if token in requests:
            query_id, before = requests[token]
            if before != request:
                return error_response_json("InvalidRequestException", "Idempotent parameters do not match", 400)
            return json_response({"QueryExecutionId": query_id})
        bound = PARAMETERS.set(tuple(parameters))
        try:
            response = start(data)
        finally:
            PARAMETERS.reset(bound)
        if response[0] == 200:
            query_id = json.loads(response[2])["QueryExecutionId"]
            athena._executions[query_id]["ExecutionParameters"] = parameters
            if token:
                requests[token] = (query_id, request)
        return response

    async def run_trino(query, database, catalog=None):
        def view_of(schema, name):
            table = glue._tables.get(f"{schema or database}/{name}") or {}
            found = VIEW.search(table.get("ViewOriginalText") or "")
            return json.loads(base64.b64decode(found.group(1)))["originalSql"] if found else None

        return await run(as_duckdb(query, PARAMETERS.get(), view_of), database, catalog)

    def typed_relation(table_data, files):
        # Athena reads the columns that the table has, as the types that it says: nothing where an object has no such
        # column, and a Parquet instant as a timestamp without a zone.
        found = relation(table_data, files)
        if athena._data_format(table_data) != "parquet":
            return found
        found = f"(SELECT * FROM {found} UNION ALL BY NAME SELECT * FROM {athena._empty_relation(table_data)})"
        columns = (table_data.get("StorageDescriptor") or {}).get("Columns") or []
        names = [f'"{column["Name"]}"' for column in columns if column["Type"] == "timestamp"]
        casts = ", ".join(f"CAST({name} AS TIMESTAMP) AS {name}" for name in names)
        return f"(SELECT * REPLACE ({casts}) FROM {found})" if names else found

    def create_named_query(logical_id, properties, stack_name):
        answer = json.loads(athena._create_named_query(properties)[2])
        return answer["NamedQueryId"], {"NamedQueryId": answer["NamedQueryId"]}

    def delete_named_query(physical_id, properties):
        athena._delete_named_query({"NamedQueryId": physical_id})

    def update_named_query(physical_id, old_properties, properties, stack_name):
        delete_named_query(physical_id, old_properties)
        return create_named_query(physical_id, properties, stack_name)

    athena._start_query_execution = start_once
    athena._run_duckdb = run_trino
    athena._table_relation = typed_relation
    provisioners._RESOURCE_HANDLERS["AWS::Athena::NamedQuery"] = {
        "create": create_named_query,
        "update": update_named_query,
        "delete": delete_named_query,
    }

