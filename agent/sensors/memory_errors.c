#include "agent/sensors/memory_errors.h"

#include "agent/collector.h"
#include "agent/label.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EDAC "sys/devices/system/edac/mc"
#define PATH_SIZE 160

static bool is_csrow(const char *dir)
{
	return strncmp(dir, "csrow", 5) == 0;
}

static bool begins(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(name, prefix, len) == 0 && name[len] >= '0' && name[len] <= '9';
}

static void read_location(const struct root *root, const char *controller, struct memory_module *module)
{
	char path[PATH_SIZE];
	(void)snprintf(path, sizeof(path), EDAC "/%s/%s/%s", controller, module->dir,
		       is_csrow(module->dir) ? "ch0_dimm_label" : "dimm_label");
	int len = root_read_text(root, path, module->location, sizeof(module->location));
	if (len <= 0)
		module->location[0] = '\0';
	else
		label_clean(module->location, (size_t)len);
}

static void scan_modules(struct memory_errors *errors, const struct root *root, struct memory_controller *controller,
			 bool csrows)
{
	char path[PATH_SIZE];
	struct root_dir dir;
	const char *name;
	(void)snprintf(path, sizeof(path), EDAC "/%s", controller->dir);
	if (root_dir_open(root, path, &dir) < 0)
		return;
	while ((name = root_dir_next(&dir))) {
		bool wanted = csrows ? begins(name, "csrow") : begins(name, "dimm") || begins(name, "rank");
		size_t len = strlen(name);
		if (!wanted || len >= sizeof(controller->modules[0].dir))
			continue;
		if (controller->n_modules == MEMORY_ERRORS_MAX_MODULES) {
			errors->left_out++;
			continue;
		}
		struct memory_module *module = &controller->modules[controller->n_modules++];
		memcpy(module->dir, name, len + 1);
		label_clean(module->dir, len);
		read_location(root, controller->dir, module);
	}
	root_dir_close(&dir);
}

static void scan_controller(struct memory_errors *errors, const struct root *root, const char *name)
{
	char path[PATH_SIZE];
	size_t len = strlen(name);
	if (!begins(name, "mc") || len >= sizeof(errors->controllers[0].dir))
		return;
	if (errors->n == MEMORY_ERRORS_MAX_CONTROLLERS) {
		errors->left_out++;
		return;
	}
	struct memory_controller *controller = &errors->controllers[errors->n++];
	controller->n_modules = 0;
	memcpy(controller->dir, name, len + 1);
	label_clean(controller->dir, len);
	(void)snprintf(path, sizeof(path), EDAC "/%s/mc_name", controller->dir);
	int r = root_read_text(root, path, controller->name, sizeof(controller->name));
	if (r < 0)
		controller->name[0] = '\0';
	else
		label_clean(controller->name, (size_t)r);
	scan_modules(errors, root, controller, false);
	/* A driver that shows both counts the same errors in both. */
	if (controller->n_modules == 0)
		scan_modules(errors, root, controller, true);
}

void memory_errors_scan(struct memory_errors *errors, const struct root *root)
{
	struct root_dir dir;
	const char *name;
	errors->n = errors->left_out = 0;
	if (root_dir_open(root, EDAC, &dir) < 0)
		return;
	while ((name = root_dir_next(&dir)))
		scan_controller(errors, root, name);
	root_dir_close(&dir);
}

static void fill_module(struct memory_module *module, const char *controller, const struct root *root,
			Sonde__V1__MemoryModule *out)
{
	const char *prefix = is_csrow(module->dir) ? "" : "dimm_";
	char path[PATH_SIZE];
	unsigned long long count;
	out->module = module->dir;
	if (module->location[0] != '\0')
		out->location = module->location;
	(void)snprintf(path, sizeof(path), EDAC "/%s/%s/%sce_count", controller, module->dir, prefix);
	if (root_read_u64(root, path, &count) == 0)
		SET(out, corrected_errors, count);
	(void)snprintf(path, sizeof(path), EDAC "/%s/%s/%sue_count", controller, module->dir, prefix);
	if (root_read_u64(root, path, &count) == 0)
		SET(out, uncorrected_errors, count);
}

static int fill_controller(struct memory_controller *controller, const struct root *root, struct arena *arena,
			   Sonde__V1__MemoryController *out)
{
	char path[PATH_SIZE];
	unsigned long long count;
	out->controller = controller->dir;
	if (controller->name[0] != '\0')
		out->name = controller->name;
	(void)snprintf(path, sizeof(path), EDAC "/%s/ce_count", controller->dir);
	if (root_read_u64(root, path, &count) == 0)
		SET(out, corrected_errors, count);
	(void)snprintf(path, sizeof(path), EDAC "/%s/ue_count", controller->dir);
	if (root_read_u64(root, path, &count) == 0)
		SET(out, uncorrected_errors, count);
	out->modules = arena_messages(arena, &sonde__v1__memory_module__descriptor, controller->n_modules);
	if (!out->modules && controller->n_modules > 0)
		return -ENOMEM;
	for (size_t i = 0; i < controller->n_modules; i++)
		fill_module(&controller->modules[i], controller->dir, root, out->modules[i]);
	out->n_modules = controller->n_modules;
	return 0;
}

int memory_errors_fill(struct memory_errors *errors, const struct root *root, struct arena *arena,
		       Sonde__V1__Sensors *out)
{
	out->memory_controllers = arena_messages(arena, &sonde__v1__memory_controller__descriptor, errors->n);
	if (!out->memory_controllers && errors->n > 0)
		return -ENOMEM;
	for (size_t i = 0; i < errors->n; i++) {
		int r = fill_controller(&errors->controllers[i], root, arena, out->memory_controllers[i]);
		if (r < 0)
			return r;
	}
	out->n_memory_controllers = errors->n;
	return 0;
}
