/* The pages that show /openapi.json and the catalogue of metrics, embedded: they are there without the dashboard's
 * build, and need nothing from elsewhere. */
#include "backend/web/server.h"

#include "common/embed.h"

EMBED(sonde_docs_page, DOCS_DIR "/docs.html");
EMBED(sonde_docs_script, DOCS_DIR "/docs.js");

extern const char sonde_docs_page_begin[], sonde_docs_page_end[], sonde_docs_script_begin[], sonde_docs_script_end[];

static void serve(struct request *request, const char *type, const char *begin, const char *end)
{
	request_answer(request, 200, type);
	request->response.cache = "no-cache";
	request_send(request, begin, (size_t)(end - begin));
}

void docs_page(struct request *request)
{
	serve(request, "text/html; charset=utf-8", sonde_docs_page_begin, sonde_docs_page_end);
}

void docs_script(struct request *request)
{
	serve(request, "text/javascript; charset=utf-8", sonde_docs_script_begin, sonde_docs_script_end);
}
