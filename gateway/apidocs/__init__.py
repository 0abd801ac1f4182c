"""The API's documents: OpenAPI and AsyncAPI, generated from the code itself, and the pages that show them. Also defines
the meanings of field names, and which problems have which members."""
