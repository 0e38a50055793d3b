"""Bodies of requests as examples in OpenAPI; tests/serve sends all of them."""

SEARCHES = (
    {"summary": "Five documents for a text", "value": {"query": "bone density", "k": 5}},
    {
        "summary": "Snippets and terms of documents that match a condition, within 50 ms",
        "value": {
            "query": "bone density",
            "where": "year >= 2020",
            "snippet": 200,
            "explain": True,
            "text": False,
            "facets": ["year"],
            "deadline_ms": 50,
        },
    },
    {
        "summary": "A search with feedback",
        "value": {"query": "bone density", "feedback": "rocchio", "feedback_depth": 5},
    },
    {"summary": "A vector, by token", "value": {"vector": {"bone": 1.2, "density": 0.8}, "exact": True}},
)
WHYS = ({"summary": "A document that was not returned", "value": {"query": "bone density", "id": "d1", "k": 1}},)
DOCUMENTS = (
    {
        "summary": "Texts with metadata",
        "value": {"documents": [{"id": "d1", "title": "Bones", "text": "Calcium makes bones dense.", "year": 2024}]},
    },
    {
        "summary": "A text with metadata, as GET answers a document",
        "value": {"documents": [{"id": "d1", "text": "Bones Calcium makes bones dense.", "metadata": {"year": 2023}}]},
    },
)
VECTORS = (
    {
        "summary": "A vector, by token, for an index of vectors",
        "value": {"documents": [{"id": "d1", "vector": {"bone": 1.2, "calcium": 0.9}}]},
    },
)
IDS = ({"summary": "Two documents", "value": {"ids": ["d1", "d2"]}},)
EXPLAINS = ({"summary": "The score of a document, term by term", "value": {"query": "bone density", "id": "d1"}},)
FACETS = (
    {"summary": "The values of a column", "value": {"columns": ["year"]}},
    {
        "summary": "The values of a column in documents that match",
        "value": {"columns": ["year"], "where": "year >= 2020", "k": 5},
    },
)
