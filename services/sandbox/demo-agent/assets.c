#include "services/sandbox/demo-agent/assets.h"

#include <string.h>

#define FOLDER "services/sandbox/demo-agent/"
#define EMBED(name, file) \
	__asm__(".section .rodata\n" \
		"asset_" #name ":\n" \
		".incbin \"" FOLDER file "\"\n" \
		"asset_" #name "_end:\n" \
		".byte 0\n" \
		".previous\n"); \
	extern const char asset_##name[] __attribute__((visibility("hidden"))); \
	extern const char asset_##name##_end[] __attribute__((visibility("hidden")))

EMBED(page, "page.html");
EMBED(script, "app.js");
EMBED(style, "style.css");

const struct asset *asset_find(const char *path)
{
	static struct asset assets[] = {
	    {"/", "text/html; charset=utf-8", asset_page, 0},
	    {"/app.js", "text/javascript; charset=utf-8", asset_script, 0},
	    {"/style.css", "text/css; charset=utf-8", asset_style, 0},
	};
	const char *const ends[] = {asset_page_end, asset_script_end, asset_style_end};

	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++) {
		assets[i].len = (size_t)(ends[i] - assets[i].bytes);
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	}
	return NULL;
}
