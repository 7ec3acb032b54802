/* Circular doubly linked list of nodes embedded in their owners. The caller's lock guards it. */
#ifndef QR_CORE_LIST_H
#define QR_CORE_LIST_H

#include "base/base.h"

struct qr_list {
	struct qr_list *next;
	struct qr_list *prev;
};

static inline void qr_list_init(struct qr_list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool qr_list_is_empty(const struct qr_list *head)
{
	return head->next == head;
}

static inline void qr_list_insert_between(struct qr_list *node, struct qr_list *prev, struct qr_list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

static inline void qr_list_add_head(struct qr_list *head, struct qr_list *node)
{
	qr_list_insert_between(node, head, head->next);
}

static inline void qr_list_add_tail(struct qr_list *head, struct qr_list *node)
{
	qr_list_insert_between(node, head->prev, head);
}

static inline void qr_list_remove(struct qr_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	qr_list_init(node);
}

#define qr_list_entry(node, type, member) QR_CONTAINER_OF(node, type, member)
#define qr_list_for_each(node, head) for ((node) = (head)->next; (node) != (head); (node) = (node)->next)
/* The visited node may be removed. */
#define qr_list_for_each_safe(node, ahead, head)                                                                       \
	for ((node) = (head)->next, (ahead) = (node)->next; (node) != (head); (node) = (ahead), (ahead) = (node)->next)

#endif
